"""Mail over real sockets ends in the spool as it was sent, or is answered so that nobody loses it."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from prometheus_client import REGISTRY
from sources_net.listeners import RCPT, SENDER, Talk

from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailposture.config.model import TlsFiles

MESSAGE = (
    b"From: a@sender.example\r\nSubject: Report\r\n\r\n.dot\r\n..two\r\nbare\nlf and bare\rcr\r\n\x00\xff 8 bit\r\n"
)


POSTMASTERS = (
    *("postmaster", "Postmaster", "POSTMASTER@example.com", "postmaster@xn--bcher-kva.example"),
    "postmaster@mx.example.com",
)


@pytest.mark.parametrize("address", POSTMASTERS)
def test_the_postmaster_can_be_written_to(mail_server: Callable, address: str) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    client.begin(address)
    assert client.ask(b"Subject: your server\r\n\r\nis odd\r\n.\r\n").startswith("250")
    (message,) = server.received()
    assert message.envelope.is_for_postmaster


@pytest.mark.parametrize("address", ["postmaster@other.example", "postmaster+x@example.com", "hostmaster"])
def test_postmasters_of_others_are_not_here(mail_server: Callable, address: str) -> None:
    client = Talk(mail_server().smtp)
    client.ask(f"MAIL FROM:<{SENDER}>")
    assert client.ask(f"RCPT TO:<{address}>").startswith("550 5.1.1")


def test_a_mail_lies_in_the_spool_as_it_was_sent(mail_server: Callable) -> None:
    server = mail_server()
    with smtplib.SMTP(*server.smtp) as client:
        client.ehlo("client.example")
        client.mail(SENDER)
        client.rcpt(RCPT)
        code, words = client.data(MESSAGE)
    assert code == 250
    (message,) = server.received()
    assert message.body == MESSAGE
    assert message.envelope.source is Source.SMTP
    assert message.envelope.peer == "127.0.0.1"
    assert message.envelope.mail_from == SENDER
    assert message.envelope.recipients == (RCPT,)
    assert not message.envelope.by_operator
    assert words.decode().endswith(f"queued as {message.envelope.name}")
    assert datetime.now(UTC) - message.envelope.received_at < timedelta(minutes=1)


def test_bare_line_ends_and_noise_are_kept_and_only_stuffed_dots_removed(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    client.begin()
    assert client.ask(b"..\r\n.a\r\n\n.b\n.\n.\rx\x00\xff\r\n..\r\n...\r\n.\r\n").startswith("250")
    (message,) = server.received()
    assert message.body == b".\r\na\r\n\n.b\n.\n.\rx\x00\xff\r\n.\r\n..\r\n"


@pytest.mark.parametrize("fake_end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n\x00.\r\n"])
def test_a_smuggled_mail_stays_part_of_the_one_that_carries_it(mail_server: Callable, fake_end: bytes) -> None:
    server = mail_server()
    smuggled = b"one" + fake_end + b"MAIL FROM:<ceo@bank.example>\r\nRCPT TO:<tlsrpt@example.com>\r\nDATA\r\ntwo\r\n"
    client = Talk(server.smtp)
    client.begin()
    assert client.ask(smuggled + b".\r\n").startswith("250")
    assert client.ask("QUIT").startswith("221"), "there was one answer, for one mail"
    (message,) = server.received()
    assert message.envelope.mail_from == SENDER


def test_an_empty_message_and_one_in_single_bytes_end_where_they_end(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    client.begin()
    assert client.ask(b".\r\n").startswith("250")
    client.begin()
    for byte in b"\r\n..\r\n\r\n.\r\n":
        client.say(bytes([byte]))
        time.sleep(0.002)
    assert client.hear().startswith("250")
    assert [message.body for message in server.received()] == [b"", b"\r\n.\r\n\r\n"]


def test_pipelined_commands_are_answered_in_order(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    for _ in range(3):
        client.say(f"MAIL FROM:<>\r\nRCPT TO:<nobody@example.com>\r\nRCPT TO:<{RCPT}>\r\nDATA")
        assert [client.hear()[:3] for _ in range(4)] == ["250", "550", "250", "354"]
        client.say(b"x\r\n.\r\nNOOP\r\nRSET\r\n")
        assert [client.hear()[:3] for _ in range(3)] == ["250", "250", "250"]
    client.say(b"QUIT\r\n")
    assert client.hear().startswith("221")
    assert client.closed()
    assert [message.envelope.mail_from for message in server.received()] == ["", "", ""]


def test_a_client_that_closes_its_side_early_still_gets_its_answers(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    client.begin()
    client.say(b"x\r\n.\r\nQUIT\r\n")
    client.socket.shutdown(socket.SHUT_WR)
    assert [client.hear()[:3], client.hear()[:3], client.hear()] == ["250", "221", ""]


def test_only_configured_recipients_in_any_spelling(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp)
    assert client.ask(f"MAIL FROM:<{SENDER}> SMTPUTF8 BODY=8BITMIME SIZE=1000").startswith("250")
    for good in (
        "TLSRPT@Example.COM",
        '"tlsrpt"@example.com',
        "reports@xn--bcher-kva.example",
        "Reports@BÜCHER.example",
    ):
        assert client.ask(f"RCPT TO:<{good}>").startswith("250 2.1.5"), good
    assert client.ask("RCPT TO:<@relay.example:tlsrpt@example.com>").startswith("250")
    assert client.ask("RCPT TO: tlsrpt@example.com").startswith("250")
    for foreign in ("root@example.com", "tlsrpt@example.net", "tlsrpt+x@example.com", "tlsrpt", "x@[127.0.0.1]"):
        assert client.ask(f"RCPT TO:<{foreign}>").startswith("550 5.1.1"), foreign
    for wrong in ("<>", "<tlsrpt@example.com", "tls rpt@example.com", "<tlsrpt@@example.com>", "<a@b@c>"):
        assert client.ask(f"RCPT TO:{wrong}").startswith("501"), wrong
    assert client.ask("RCPT TO:<tlsrpt@example.com> NOTIFY=NEVER").startswith("555")


def test_an_address_beyond_ascii_needs_smtputf8(mail_server: Callable) -> None:
    client = Talk(mail_server().smtp)
    assert client.ask("MAIL FROM:<postfächer@sender.example>").startswith("553 5.6.7")
    assert client.ask(f"MAIL FROM:<{SENDER}>").startswith("250")
    assert client.ask("RCPT TO:<reports@bücher.example>").startswith("553 5.6.7")
    assert client.ask("RSET").startswith("250")
    assert client.ask("MAIL FROM:<postfächer@sender.example> SMTPUTF8").startswith("250")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("MAIL FROM:<a@b.example> SIZE=x", "501"),
        ("MAIL FROM:<a@b.example> SIZE=" + "9" * 30, "501"),
        ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "501"),
        ("MAIL FROM:<a@b.example> FOO=bar", "555"),
        ("MAIL FROM:<a@b.example> =", "501"),
        ("MAIL TO:<a@b.example>", "501"),
        ("MAIL", "501"),
        ("RCPT TO:<tlsrpt@example.com>", "503"),
        ("DATA", "503"),
        ("DATA now", "501"),
        ("GET / HTTP/1.1", "500"),
        ("", "500"),
        ("STARTTLS", "503"),
        ("AUTH PLAIN AGEAYg==", "500"),
        ("__class__", "500"),
        ("VRFY root", "252"),
    ],
)
def test_wrong_commands_are_refused_and_the_connection_goes_on(mail_server: Callable, command: str, code: str) -> None:
    client = Talk(mail_server().smtp)
    assert client.ask(command).startswith(code)
    client.begin()


def test_hello_comes_first(mail_server: Callable) -> None:
    server = mail_server()
    client = Talk(server.smtp, greet=False)
    client.hear()
    assert client.ask("MAIL FROM:<>").startswith("503")
    assert client.ask("HELO").startswith("501")
    assert client.ask("HELO client.example") == "250 mx.example.com\r\n"
    client.begin()


def test_lmtp_answers_for_each_recipient(mail_server: Callable) -> None:
    server = mail_server()
    with smtplib.LMTP(*server.lmtp) as client:
        client.ehlo("client.example")
        assert client.has_extn("pipelining")
        assert client.has_extn("enhancedstatuscodes")
        client.mail(SENDER)
        codes = [client.rcpt(to)[0] for to in (RCPT, "nobody@example.com", "reports@xn--bcher-kva.example")]
        assert codes == [250, 550, 250]
        assert client.data(b"x\r\n")[0] == 250
        assert client.getreply()[0] == 250
        assert client.noop()[0] == 250
    (message,) = server.received()
    assert message.envelope.source is Source.LMTP
    assert message.envelope.recipients == (RCPT, "reports@xn--bcher-kva.example")


def test_each_protocol_has_its_own_hello(mail_server: Callable) -> None:
    server = mail_server()
    for address, hello in ((server.smtp, "LHLO"), (server.lmtp, "EHLO"), (server.lmtp, "HELO")):
        client = Talk(address, greet=False)
        client.hear()
        assert client.ask(f"{hello} client.example").startswith("500")


def test_starttls_then_the_client_starts_over(mail_server: Callable, tls_files: TlsFiles) -> None:
    server = mail_server(tls=tls_files)
    context = ssl.create_default_context(cafile=str(tls_files.certificate))
    with smtplib.SMTP(*server.smtp) as client:
        client._host = "mx.example.com"  # what smtplib compares the certificate with
        client.ehlo("client.example")
        assert client.has_extn("starttls")
        client.starttls(context=context)
        assert client.mail(SENDER)[0] == 503
        client.ehlo("client.example")
        assert not client.has_extn("starttls")
        client.sendmail(SENDER, [RCPT], MESSAGE * 5000)
        client.sendmail(SENDER, [RCPT], b"second\r\n")
    first, second = server.received()
    assert len(first.body) > 100_000
    assert second.body == b"second\r\n"


def test_commands_smuggled_in_front_of_the_handshake_end_the_connection(
    mail_server: Callable, tls_files: TlsFiles
) -> None:
    client = Talk(mail_server(tls=tls_files).smtp)
    assert client.ask(b"STARTTLS\r\nMAIL FROM:<evil@sender.example>\r\n").startswith("554")
    assert client.closed()


def test_a_failed_handshake_leaves_the_listener_well(mail_server: Callable, tls_files: TlsFiles) -> None:
    server = mail_server(tls=tls_files)
    client = Talk(server.smtp)
    assert client.ask("STARTTLS").startswith("220")
    client.say(b"this is no handshake\r\n" * 10)
    assert client.closed() or client.closed()
    Talk(server.smtp).begin()


def test_what_is_received_and_refused_is_counted(mail_server: Callable) -> None:
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0

    def counts() -> tuple[float, float, float]:
        return (
            count("mailposture_received_total", source="smtp"),
            count("mailposture_refused_total", source="smtp", reason="unknown-recipient"),
            count("mailposture_connections_total", source="smtp"),
        )

    before = counts()
    client = Talk(mail_server().smtp)
    client.begin()
    client.ask(b"x\r\n.\r\n")
    client.ask("MAIL FROM:<>")
    client.ask("RCPT TO:<nobody@example.com>")
    assert counts() == tuple(number + 1 for number in before)


def test_an_ipv6_client_is_named_by_its_address(mail_server: Callable) -> None:
    server = mail_server(listen="[::1]:0")
    client = Talk(server.smtp)
    client.begin()
    assert client.ask(b"x\r\n.\r\n").startswith("250")
    assert server.received()[0].envelope.peer == "::1"
