"""What one client may take up is bounded, and nobody else notices."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from sources_net.listeners import RCPT, SENDER, Loop, MailServer, Talk, write_certificate

from collector.sources.memory import BodyMemory
from collector.spool import SpoolError
from mailposture.net.client_networks import client_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mailposture.config.model import TlsFiles


def test_too_large_is_refused_for_good_and_the_connection_goes_on(mail_server: Callable) -> None:
    server = mail_server(limits={"message_size": 1000})
    client = Talk(server.smtp)
    assert client.ask(f"MAIL FROM:<{SENDER}> SIZE=1001").startswith("552 5.3.4")
    client.begin()
    assert client.ask(b"x" * 997 + b"\r\n" + b"\r\n.\r\n").startswith("552 5.3.4")
    client.begin()
    assert client.ask((b"y" * 98 + b"\r\n") * 10_000 + b".\r\nNOOP\r\n").startswith("552 5.3.4")
    assert client.hear().startswith("250"), "the rest of the large mail was not taken for commands"
    client.begin()
    assert client.ask(b"x" * 998 + b"\r\n.\r\n").startswith("250")
    assert [len(message.body) for message in server.received()] == [1000]


def test_a_mail_of_one_long_line_is_taken(mail_server: Callable) -> None:
    """RFC 5322 allows 998 characters, but refusing a report for that would lose it."""
    server = mail_server()
    client = Talk(server.smtp)
    client.begin()
    assert client.ask(b"{" + b" " * 1_000_000 + b"}\r\n.\r\n").startswith("250")
    assert len(server.received()[0].body) == 1_000_004


MIB = 2**20


def room_for_one(patience: float) -> BodyMemory:
    return BodyMemory(largest=4 * MIB, large_bytes=0, patience=patience)


def test_large_mails_share_a_bounded_memory_and_small_ones_pass(mail_server: Callable) -> None:
    server = mail_server(limits={"message_size": 4 * MIB}, memory=room_for_one(patience=0.1))
    large, second, small = Talk(server.smtp), Talk(server.smtp), Talk(server.smtp)
    large.begin()
    large.say(b"x" * MIB)
    second.begin()
    second.say(b"x" * 2 * MIB)
    assert second.ask(b"\r\n.\r\n").startswith("452 4.3.1")
    small.begin()
    assert small.ask(b"x\r\n.\r\n").startswith("250")
    assert large.ask(b"\r\n.\r\n").startswith("250")
    second.begin()
    second.say(b"y" * 2 * MIB)
    assert second.ask(b"\r\n.\r\n").startswith("250")
    assert sorted(len(message.body) for message in server.received()) == [3, MIB + 2, 2 * MIB + 2]


def test_a_mail_that_says_how_large_it_is_waits_before_it_is_sent(mail_server: Callable) -> None:
    server = mail_server(limits={"message_size": 4 * MIB}, memory=room_for_one(patience=30))
    large, second = Talk(server.smtp), Talk(server.smtp)
    large.begin()
    large.say(b"x" * MIB)
    assert second.ask(f"MAIL FROM:<{SENDER}> SIZE={3 * MIB}").startswith("250")
    assert second.ask(f"RCPT TO:<{RCPT}>").startswith("250")
    second.say("DATA")
    assert large.ask(b"\r\n.\r\n").startswith("250")
    assert second.hear().startswith("354")
    assert second.ask(b"y" * 3 * MIB + b"\r\n.\r\n").startswith("250")


def test_a_mail_that_says_how_large_it_is_may_be_refused_before_it_is_sent(mail_server: Callable) -> None:
    memory = room_for_one(patience=0.1)
    server = mail_server(limits={"message_size": 4 * MIB}, memory=memory)
    assert memory.take(2 * MIB, small=False)
    client = Talk(server.smtp)
    assert client.ask(f"MAIL FROM:<{SENDER}> SIZE={3 * MIB}").startswith("250")
    assert client.ask(f"RCPT TO:<{RCPT}>").startswith("250")
    assert client.ask("DATA").startswith("452 4.3.1")
    memory.give_back(2 * MIB)
    client.begin()  # the session goes on
    assert client.ask(b"x\r\n.\r\n").startswith("250")
    assert memory.take(4 * MIB, small=False)  # and all room was given back


def test_who_sends_a_large_mail_too_slowly_makes_room_for_those_who_wait(mail_server: Callable) -> None:
    now = [0.0]
    memory = BodyMemory(largest=4 * MIB, large_bytes=0, clock=lambda: now[0])
    server = mail_server(limits={"message_size": 4 * MIB}, memory=memory)
    silent, swift = Talk(server.smtp), Talk(server.smtp)
    silent.ask(f"MAIL FROM:<{SENDER}> SIZE={4 * MIB}")
    silent.ask(f"RCPT TO:<{RCPT}>")
    assert silent.ask("DATA").startswith("354")
    now[0] += 60
    swift.begin()
    swift.say(b"x" * MIB + b"\r\n.\r\n")
    assert silent.hear().startswith("421 4.3.1")
    assert silent.closed()
    assert swift.hear().startswith("250")
    assert [len(message.body) for message in server.received()] == [MIB + 2]
    assert memory.take(4 * MIB, small=False)  # all room was given back


@pytest.mark.parametrize(("seconds", "sent", "ended"), [(9, 0, False), (11, 0, True), (11, 3, False), (12, 3, True)])
def test_a_large_mail_may_take_ten_seconds_and_one_more_for_each_two_mebibytes(
    seconds: int, sent: int, ended: bool
) -> None:
    now, ends = [0.0], []
    memory = BodyMemory(largest=4 * MIB, clock=lambda: now[0])

    async def send() -> None:
        with memory.share("a", end=lambda: ends.append("a")) as share:
            await share.announce(4 * MIB)
            await share.grow(sent * MIB, expected=4 * MIB)
            now[0] += seconds
            memory.end_the_slowest()

    asyncio.run(send())
    assert bool(ends) == ended
    memory.end_the_slowest()
    assert len(ends) == ended, "what has ended is not ended again"


def test_clients_get_room_in_turns_however_many_connections_they_have() -> None:
    memory = BodyMemory(largest=MIB, large_bytes=0)
    served = []

    async def ask(client: str) -> None:
        assert await memory.take_in_time(MIB, small=False, client=client)
        served.append(client)
        memory.give_back(MIB)

    async def flood() -> None:
        assert memory.take(MIB, small=False)
        async with asyncio.TaskGroup() as group:
            for client in ("flood", "flood", "flood", "true", "flood"):
                group.create_task(ask(client))
                await asyncio.sleep(0)  # so that it waits
            memory.give_back(MIB)

    asyncio.run(flood())
    assert served == ["flood", "true", "flood", "flood", "flood"]


def test_more_recipients_than_allowed_come_with_another_mail(mail_server: Callable) -> None:
    client = Talk(mail_server(limits={"recipients": 2}).smtp)
    assert client.ask("MAIL FROM:<>").startswith("250")
    assert [client.ask(f"RCPT TO:<{RCPT}>")[:3] for _ in range(3)] == ["250", "250", "452"]


def test_too_many_errors_end_the_connection_and_a_good_mail_forgives_earlier_ones(mail_server: Callable) -> None:
    client = Talk(mail_server(limits={"errors": 3}).smtp)
    assert client.ask("NONSENSE").startswith("500")
    assert client.ask("MAIL FROM:<>").startswith("250")
    assert client.ask("RCPT TO:<root@example.com>").startswith("550")
    assert client.ask(f"RCPT TO:<{RCPT}>").startswith("250")
    assert client.ask("DATA").startswith("354")
    assert client.ask(b"x\r\n.\r\n").startswith("250")
    client.say("A\r\nB\r\nC\r\nD")
    assert [client.hear()[:3] for _ in range(4)] == ["500", "500", "500", "421"]
    assert client.closed()


def test_too_many_commands_end_the_connection(mail_server: Callable) -> None:
    client = Talk(mail_server(limits={"commands": 5}).smtp)
    assert [client.ask("NOOP")[:3] for _ in range(5)] == ["250"] * 4 + ["421"]


def test_an_overlong_command_is_an_error_and_an_endless_one_the_end(mail_server: Callable) -> None:
    client = Talk(mail_server().smtp)
    assert client.ask("NOOP " + "x" * 10_000).startswith("500 5.5.2")
    assert client.ask("NOOP").startswith("250")
    assert client.ask(b"x" * 200_000).startswith("421")


def test_commands_and_message_out_of_step_end_the_connection(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    client.say(f"MAIL FROM:<>\r\nRCPT TO:<{RCPT}>\r\nDATA\r\nSubject: x\r\n\r\n.")
    assert [client.hear()[:3] for _ in range(3)] == ["250", "250", "554"]
    assert client.closed()
    assert server.received() == []


def test_connections_are_limited_in_total(mail_server: Callable) -> None:
    server = mail_server(limits={"connections": 3})
    clients = [Talk(server.smtp) for _ in range(3)]
    late = Talk(server.lmtp, greet=False)
    assert late.hear().startswith("421 4.7.0")
    assert late.closed()
    assert clients[0].ask("QUIT").startswith("221")
    assert clients[0].closed()
    Talk(server.smtp).begin()


def test_connections_are_limited_for_each_client(mail_server: Callable) -> None:
    server = mail_server(limits={"connections_per_client": 2})
    clients = [Talk(server.smtp) for _ in range(2)]
    assert Talk(server.smtp, greet=False).hear().startswith("421 4.7.0")
    other = socket.create_connection(server.smtp, timeout=60, source_address=("127.0.0.2", 0))
    assert other.recv(100).startswith(b"220")
    assert all(client.ask("NOOP").startswith("250") for client in clients)


def test_clients_that_are_turned_away_do_not_fill_the_log(
    mail_server: Callable, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mail_server(limits={"connections": 1})
    kept = Talk(server.smtp)
    for _ in range(50):
        assert Talk(server.smtp, greet=False).hear().startswith("421")
    monkeypatch.setattr("collector.sources.smtp.shared._LOG_AGAIN_SECONDS", 0.0)
    assert Talk(server.smtp, greet=False).hear().startswith("421")
    kept.vanish()
    lines = [line for line in "".join(capfd.readouterr()).splitlines() if "too-many-connections" in line]
    assert len(lines) == 2
    assert re.search(r"since_last_logged\W+50\b", lines[1])


def test_an_ipv6_client_is_its_network() -> None:
    assert client_network("2001:db8:0:1::1") == client_network("2001:db8:0:1:ffff::2")
    assert client_network("2001:db8:0:1::1") != client_network("2001:db8:0:2::1")
    assert client_network("192.0.2.1") == "192.0.2.1"


@pytest.mark.slow
def test_silent_and_slow_clients_are_ended_and_hold_nobody_up(mail_server: Callable) -> None:
    server = mail_server(limits={"idle": "1s", "session": "3s"})
    silent, half, dripping = Talk(server.smtp, greet=False), Talk(server.smtp), Talk(server.smtp)
    half.begin()
    half.say(b"half a mail")
    dripping.begin()
    never = threading.Event()

    def drip() -> None:
        while not never.wait(0.2):
            try:
                dripping.say(b"x")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        quick = Talk(server.smtp)
        for _ in range(200):
            quick.begin()
            assert quick.ask(b"x\r\n.\r\n").startswith("250")
        assert silent.hear().startswith("220")
        assert silent.hear().startswith("421 4.4.2")
        assert half.hear().startswith("421 4.4.2")
        assert dripping.hear().startswith("421 4.4.2"), "a byte now and then does not keep a session for ever"
    finally:
        never.set()
        thread.join()
    assert len(server.received()) == 200


@pytest.mark.slow
def test_a_client_that_reads_nothing_is_ended(mail_server: Callable) -> None:
    server = mail_server(limits={"idle": "1s", "commands": 10**9})
    client = Talk(server.smtp)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    client.socket.settimeout(5)
    with pytest.raises((ConnectionError, TimeoutError)):  # noqa: PT012  it may take many
        for _ in range(100_000):
            client.say(b"NOOP\r\n" * 1000)
    eventually("its end", lambda: not server.server.shared.sessions)


def test_closing_tells_idle_clients_and_lets_a_running_mail_end(loop: Loop, tmp_path: Path) -> None:
    server = MailServer(loop, tmp_path / "spool")
    idle, running, stuck = Talk(server.smtp), Talk(server.smtp), Talk(server.smtp)
    running.begin()
    stuck.begin()
    closing = threading.Thread(target=server.loop.run, args=(server.server.close(1.0),))
    closing.start()
    assert idle.hear().startswith("421 4.3.2")
    assert idle.closed()
    assert running.ask(b"x\r\n.\r\n").startswith("250")
    assert running.hear().startswith("421")
    closing.join()
    assert stuck.closed()
    with pytest.raises(ConnectionError):
        Talk(server.smtp)
    assert len(server.received()) == 1
    server.close()


def test_a_full_disk_and_a_spool_in_trouble_are_answered_for_later(mail_server: Callable) -> None:
    server = mail_server(keep_free=1 << 60)
    client = Talk(server.smtp)
    assert client.ask("MAIL FROM:<>").startswith("452 4.3.1")

    def fail(*_: object) -> int:
        raise SpoolError("another process held it for 30 s")

    server.spool.check_room = lambda: None
    server.spool.put_async = fail
    client.begin()
    assert client.ask(b"x\r\n.\r\n").startswith("451 4.3.0")
    lmtp = Talk(server.lmtp, greet=False)
    lmtp.hear()
    lmtp.ask("LHLO client.example")
    lmtp.begin()
    assert lmtp.ask(b"x\r\n.\r\n").startswith("451 4.3.0")


@pytest.mark.slow
def test_a_renewed_certificate_is_used_without_a_restart(
    mail_server: Callable, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.certificate._LOOK_AGAIN_SECONDS", 0)
    server = mail_server(tls=tls_files)
    kept = Talk(server.smtp)

    def serial(client: Talk) -> int:
        assert client.ask("STARTTLS").startswith("220")
        context = ssl.create_default_context(cafile=str(tls_files.certificate))
        tls = context.wrap_socket(client.socket, server_hostname="mx.example.com")
        certificate = tls.getpeercert()
        assert certificate is not None
        return int(certificate["serialNumber"], 16)

    assert serial(Talk(server.smtp)) != 0
    renewed = int(write_certificate(tls_files, "mx.example.com"), 16)
    assert serial(kept) == renewed
    tls_files.key.write_text("half written")
    assert serial(Talk(server.smtp)) == renewed, "an unusable renewal leaves the last good certificate"


def test_a_spool_that_went_away_is_trouble_for_later(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    moved = server.folder.with_name("moved")
    server.folder.rename(moved)
    try:
        assert client.ask("MAIL FROM:<>").startswith("451 4.3.0")
        assert client.ask("NOOP").startswith("250")
    finally:
        moved.rename(server.folder)
