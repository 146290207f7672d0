"""Behind HAProxy and Caddy the peer is their client; what anybody else writes about himself changes nothing."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import subprocess
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from ports import free_port, listens
from programs import needs, program
from sources_net.listeners import RCPT, SENDER, TOKENS, Talk

from mailposture.net.proxies import Proxies, plain_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATH = "/v1/tls-reports/" + TOKENS["example.com"]
PROXY = ["127.0.0.1/32"]  # where HAProxy and Caddy of these tests connect from
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


@contextlib.contextmanager
def serving(*command: str, port: int, log: Path) -> Iterator[None]:
    """A program that listens."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as child:
        try:
            eventually(f"a listener on port {port}", lambda: listens(port))
            yield
        finally:
            child.terminate()


@contextlib.contextmanager
def haproxy(folder: Path, to: tuple[str, int], option: str) -> Iterator[tuple[str, int]]:
    """A real HAProxy in front of an SMTP listener, which also looks whether the listener is there."""
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(
        f"defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n"
        f"listen mail\n  bind 127.0.0.1:{port}\n  server ours {to[0]}:{to[1]} check inter 100ms {option}\n"
    )
    with serving(program("haproxy"), "-f", str(config), "-db", port=port, log=folder / "haproxy.log"):
        yield "127.0.0.1", port


class From(Talk):
    """A client with an address of its own."""

    def __init__(self, source: str, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=60, source_address=(source, 0))
        self.file = self.socket.makefile("rb")
        self.greeting = self.hear()

    def mail(self) -> None:
        assert self.greeting.startswith("220 "), self.greeting
        assert self.ask("EHLO client.example").startswith("250")
        self.begin()
        assert self.ask(b"x\r\n.\r\n").startswith("250")


@pytest.mark.slow
@needs("haproxy")
@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
def test_behind_haproxy_each_client_is_known_and_bounded(mail_server: Callable, tmp_path: Path, option: str) -> None:
    server = mail_server(proxies=PROXY, limits={"connections_per_client": 2})
    with haproxy(tmp_path, server.smtp, option) as address:
        first = [From("127.0.0.2", address) for _ in range(2)]
        assert From("127.0.0.2", address).greeting.startswith("421 4.7.0")
        other = From("127.0.0.3", address)
        for client in (*first, other):
            client.mail()
    assert [message.envelope.peer for message in server.received()] == ["127.0.0.2", "127.0.0.2", "127.0.0.3"]


@pytest.mark.slow
@needs("haproxy")
def test_connection_through_a_proxy_can_be_encrypted(mail_server: Callable, tmp_path: Path, tls_files: object) -> None:
    server = mail_server(proxies=PROXY, tls=tls_files)
    with haproxy(tmp_path, server.smtp, "send-proxy-v2") as address:
        client = From("127.0.0.2", address)
        assert "STARTTLS" in client.ask("EHLO client.example")
        assert client.ask("STARTTLS").startswith("220")


def version_2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses)) + addresses


IPV4 = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!HH", 1, 25)
IPV6 = socket.inet_pton(socket.AF_INET6, "2001:db8::1") * 2 + struct.pack("!HH", 1, 25)
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1") * 2 + struct.pack("!HH", 1, 25)


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n", "2001:db8::1"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 25\r\n", "127.0.0.1"),
        (version_2(1, 0x11, IPV4), "192.0.2.1"),
        (version_2(1, 0x21, IPV6), "2001:db8::1"),
        (version_2(1, 0x21, MAPPED), "192.0.2.1"),
        (version_2(1, 0x11, IPV4 + b"\x04\x00\x02xy"), "192.0.2.1"),  # with a field of its own behind
        (version_2(0, 0x11, IPV4), "127.0.0.1"),  # LOCAL: the proxy itself, whatever addresses stand there
        (version_2(0, 0, b""), "127.0.0.1"),
        (version_2(1, 0, b""), "127.0.0.1"),
    ],
)
def test_header_says_for_whom_the_proxy_comes(mail_server: Callable, header: bytes, peer: str) -> None:
    server = mail_server(proxies=PROXY)
    client = socket.create_connection(server.smtp, timeout=60)
    client.sendall(header + f"EHLO x\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{RCPT}>\r\nDATA\r\n".encode())
    with client, client.makefile("rb") as replies:
        while not (line := replies.readline()).startswith(b"354"):
            assert line[:1] == b"2", line
        client.sendall(b"x\r\n.\r\n")
        assert replies.readline().startswith(b"250")
    assert [message.envelope.peer for message in server.received()] == [peer]


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25 more\r\n",
        b"PROXY TCP4 2001:db8::1 192.0.2.2 1 25\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n",
        b"PROXY TCP4 999.0.2.1 192.0.2.2 1 25\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 25\r\n",
        b"PROXY" + b" " * 200 + b"\r\n",
        b"PROXY" + b"x" * 100_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        SIGNATURE[:-1] + b"X" + b"\x21\x11\x00\x0c" + IPV4,
        SIGNATURE + b"\x31\x11\x00\x0c" + IPV4,
        version_2(3, 0x11, IPV4),
        version_2(1, 0x71, IPV4),
        version_2(1, 0x11, IPV4[:5]),
        version_2(1, 0x12, IPV4),  # a datagram
        version_2(1, 0x31, bytes(216)),  # a UNIX socket
    ],
)
def test_who_is_named_a_proxy_and_sends_no_header_is_hung_up_on(mail_server: Callable, header: bytes) -> None:
    """Without the header it would come in the name of the proxy, and every limit would be the proxy's."""
    server = mail_server(proxies=PROXY)
    with socket.create_connection(server.smtp, timeout=60) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(header)
            client.sendall(b"EHLO x\r\n" * 3)
        with contextlib.suppress(ConnectionError):
            assert client.recv(100) == b""
    eventually("its end", lambda: not len(server.server.shared.admission))
    assert server.received() == []


def test_header_that_never_comes_holds_a_place_for_seconds_only(
    mail_server: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.smtp.proxy_header._HEADER_SECONDS", 0.3)
    server = mail_server(proxies=PROXY)
    with socket.create_connection(server.smtp, timeout=60) as silent, silent.makefile("rb") as replies:
        silent.sendall(b"PROXY TCP4")
        assert replies.read() == b""
    eventually("its end", lambda: not len(server.server.shared.admission))


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", version_2(1, 0x11, IPV4)])
def test_header_of_a_client_that_is_no_proxy_of_ours_is_no_command(mail_server: Callable, header: bytes) -> None:
    server = mail_server(proxies=PROXY)
    client = From("127.0.0.2", server.smtp)
    assert client.ask(header).startswith("500 5.5.2")
    for _ in range(header.count(b"\n") - 1):
        assert client.hear()[:3] in {"500", "221"}
    if b"QUIT" not in header:
        client.mail()
        assert [message.envelope.peer for message in server.received()] == ["127.0.0.2"]


def test_our_mail_server_delivers_by_lmtp_from_wherever_a_proxy_may_be(mail_server: Callable) -> None:
    server = mail_server(proxies=PROXY)
    client = Talk(server.lmtp, greet=False)
    assert client.hear().startswith("220")


def test_one_client_may_not_come_more_often_than_configured(mail_server: Callable) -> None:
    server = mail_server(limits={"connections_per_minute": 2})
    for _ in range(2):
        assert From("127.0.0.2", server.smtp).ask("QUIT").startswith("221")
    assert From("127.0.0.2", server.smtp).greeting.startswith("421 4.7.0")
    assert From("127.0.0.3", server.smtp).greeting.startswith("220")


def post(address: tuple[str, int], source: str, *forwarded_for: str) -> int:
    connection = http.client.HTTPConnection(*address, timeout=60, source_address=(source, 0))
    connection.putrequest("POST", PATH)
    for value in forwarded_for:
        connection.putheader("X-Forwarded-For", value)
    connection.putheader("Content-Length", "2")
    connection.endheaders(b"{}")
    return connection.getresponse().status


@pytest.mark.slow
@needs("caddy")
def test_behind_caddy_the_peer_is_its_client_whatever_the_client_says(post_server: Callable, tmp_path: Path) -> None:
    server = post_server(proxies=PROXY, requests=4)  # one at once for each client
    port = free_port()
    caddyfile = tmp_path / "Caddyfile"
    caddyfile.write_text(
        f"{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {tmp_path}/caddy\n}}\n"
        f"http://127.0.0.1:{port} {{\n\treverse_proxy 127.0.0.1:{server.address[1]}\n}}\n"
    )
    command = (program("caddy"), "run", "--config", str(caddyfile), "--adapter", "caddyfile")
    with serving(*command, port=port, log=tmp_path / "caddy.log"):
        assert post(("127.0.0.1", port), "127.0.0.2") == 201
        assert post(("127.0.0.1", port), "127.0.0.3", "198.51.100.1", "198.51.100.2, 127.0.0.1") == 201
        with socket.create_connection(("127.0.0.1", port), timeout=60, source_address=("127.0.0.2", 0)) as slow:
            slow.sendall(f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\n{{".encode())
            eventually("it is read", lambda: len(server.server.requests) == 1)
            assert post(("127.0.0.1", port), "127.0.0.2", "127.0.0.3") == 503
            assert post(("127.0.0.1", port), "127.0.0.3", "127.0.0.2") == 201
    assert [message.envelope.peer for message in server.received()] == ["127.0.0.2", "127.0.0.3", "127.0.0.3"]


def test_forwarded_for_of_a_client_that_is_no_proxy_of_ours_says_nothing(post_server: Callable) -> None:
    server = post_server(proxies=PROXY)
    assert post(server.address, "127.0.0.2", "198.51.100.1") == 201
    assert post(server.address, "127.0.0.1", "10.0.0.1, 2001:db8::25") == 201
    assert post(server.address, "127.0.0.1", "<script>") == 201
    peers = [message.envelope.peer for message in server.received()]
    assert peers == ["127.0.0.2", "2001:db8::25", "127.0.0.1"]


@pytest.mark.parametrize(
    ("peer", "fields", "client"),
    [
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),  # two proxies of ours, and a claim before
        ("10.0.0.1", ["198.51.100.9", "192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # from inside
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("192.0.2.7", ["192.0.2.1"], "192.0.2.7"),
    ],
)
def test_client_is_the_last_that_no_proxy_of_ours_is(peer: str, fields: list[str], client: str) -> None:
    assert Proxies([ip_network("10.0.0.0/8")]).client_of(peer, fields) == client


def test_addresses_have_one_form() -> None:
    assert plain_address("::FFFF:192.0.2.1") == "192.0.2.1"
    assert plain_address("2001:DB8:0::1") == "2001:db8::1"
    assert plain_address("192.0.2.1:25") is None
    assert plain_address("") is None
