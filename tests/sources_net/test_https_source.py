"""Reports posted to a domain's secret path are stored first and judged later; nothing else is stored."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import logging
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from sources_net.listeners import TOKENS, write_certificate

from collector.sources.memory import BodyMemory
from mailposture.config.model import MIB
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailposture.config.model import TlsFiles

PATH = "/v1/tls-reports/" + TOKENS["example.com"]
REPORT = b'{"organization-name": "Example"}'


def ask(
    address: tuple[str, int], method: str, path: str, body: bytes = b"", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.words = response.read()
    return response


def raw(address: tuple[str, int], text: bytes, source: str = "127.0.0.1") -> socket.socket:
    client = socket.create_connection(address, timeout=60, source_address=(source, 0))
    client.sendall(text)
    return client


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/tlsrpt+json", REPORT),
        ("application/tlsrpt+gzip", gzip.compress(REPORT, mtime=0)),
        ("text/plain", b"\x00\xff no report at all"),
        ("application/json", b""),
        ("not a type", REPORT),
    ],
)
def test_whatever_is_posted_to_the_secret_path_is_stored(post_server: Callable, content_type: str, body: bytes) -> None:
    server = post_server()
    answer = ask(server.address, "POST", PATH, body, Content_Type=content_type)
    assert answer.status == 201
    (message,) = server.received()
    assert message.body == body
    assert message.envelope.source is Source.HTTPS
    assert message.envelope.token_domain == "example.com"
    assert message.envelope.peer == "127.0.0.1"
    assert message.envelope.name in answer.words.decode()


def test_compressed_in_transit_is_stored_as_it_came(post_server: Callable) -> None:
    """Decompression belongs to decode, which has limits."""
    server = post_server()
    bomb = gzip.compress(b"0" * 10_000_000)
    assert ask(server.address, "POST", PATH, bomb, Content_Encoding="gzip").status == 201
    assert server.received()[0].body == bomb


def test_each_domain_has_its_own_path(post_server: Callable) -> None:
    server = post_server()
    assert ask(server.address, "POST", f"/v1/tls-reports/{TOKENS['example.net']}/", REPORT).status == 201
    assert server.received()[0].envelope.token_domain == "example.net"


@pytest.mark.parametrize(
    "path",
    ["/v1/tls-reports/", "/v1/tls-reports/None", "/v1/tls-reports/secret-of-example-co", "/", PATH + "/more", "//"],
)
def test_without_a_known_token_nothing_is_stored(post_server: Callable, path: str) -> None:
    server = post_server()
    assert ask(server.address, "POST", path, REPORT).status in (404, 405)
    assert server.received() == []


def test_a_visitor_is_told_what_this_is_and_learns_no_token(post_server: Callable) -> None:
    server = post_server()
    known, unknown, root = (ask(server.address, "GET", path) for path in (PATH, "/v1/tls-reports/guess", "/"))
    assert known.status == unknown.status == root.status == 200
    assert known.words == unknown.words == root.words
    assert b"RFC 8460" in root.words


def test_the_token_is_never_logged(post_server: Callable, caplog: pytest.LogCaptureFixture, capfd) -> None:
    caplog.set_level(logging.DEBUG)
    server = post_server(body_size=100)
    ask(server.address, "POST", PATH, REPORT)
    ask(server.address, "POST", PATH, b"x" * 1000)
    ask(server.address, "POST", PATH + "x", REPORT)
    with raw(server.address, f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n".encode()) as client:
        assert b" 400 " in client.recv(1000)
    with raw(server.address, f"POST {PATH} HTTP/9\r\n\x00\r\n\r\n".encode()) as client:
        client.recv(1000)
    output, errors = capfd.readouterr()
    assert TOKENS["example.com"] not in output + errors + caplog.text


def test_a_client_that_asks_first_is_told_to_continue(post_server: Callable) -> None:
    server = post_server()
    body = b"x" * 2_000_000
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with raw(server.address, head.encode()) as client:
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
    assert server.received()[0].body == body


@pytest.mark.parametrize(("path", "length", "answer"), [(PATH, 2001, b"413"), ("/v1/tls-reports/guess", 10, b"404")])
def test_a_client_that_asks_first_is_refused_before_it_sends(
    post_server: Callable, path: str, length: int, answer: bytes
) -> None:
    server = post_server(body_size=2000)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    with raw(server.address, head.encode()) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 " + answer)


def test_the_body_may_be_as_large_as_configured_and_no_larger(post_server: Callable) -> None:
    server = post_server(body_size=2000)
    assert ask(server.address, "POST", PATH, b"x" * 2000).status == 201
    assert ask(server.address, "POST", PATH, b"x" * 2001).status == 413
    assert [len(message.body) for message in server.received()] == [2000]


def test_a_chunked_body_is_bounded_too(post_server: Callable) -> None:
    server = post_server(body_size=2000)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with raw(server.address, head + b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n") as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
    with raw(server.address, head + b"ffff\r\n" + b"x" * 3000) as client:
        assert client.recv(1000).startswith(b"HTTP/1.1 413")
    assert [len(message.body) for message in server.received()] == [1024]


@pytest.mark.slow
def test_slow_clients_are_ended_and_hold_nobody_up(post_server: Callable) -> None:
    server = post_server(timeout="1s", requests=3)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n".encode()
    silent = raw(server.address, b"")
    half_head = raw(server.address, b"POST /v1")
    half_body = raw(server.address, head + b"x", "127.0.0.2")
    eventually("all three are let in", lambda: len(server.server.connections) == 3)
    assert ask(server.address, "POST", PATH, REPORT).status == 201
    assert half_body.recv(1000).startswith(b"HTTP/1.1 408")
    assert silent.recv(1000) == b""
    assert b" 201 " not in half_head.recv(1000)
    assert len(server.received()) == 1


@pytest.mark.slow
def test_headers_that_never_end_hold_a_place_for_seconds_only(
    post_server: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a body may take, and however often there is a little more."""
    monkeypatch.setattr("collector.sources.https.server._HEADER_SECONDS", 1.0)
    server = post_server(timeout="60s", requests=1)
    with raw(server.address, b"POST /v1") as half_head, raw(server.address, b"POST /v1") as another:
        with raw(server.address, b"") as one_too_many:
            assert one_too_many.recv(1000) == b""
        half_head.settimeout(0.1)
        for _ in range(50):
            with contextlib.suppress(TimeoutError):
                assert half_head.recv(1000) == b""
                break
            half_head.sendall(b"x")
        else:
            pytest.fail("it was never ended")
        assert another.recv(1000) == b""
        assert ask(server.address, "POST", PATH, REPORT).status == 201


@pytest.mark.slow
def test_handshake_that_never_ends_is_ended(
    post_server: Callable, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.https.server._HEADER_SECONDS", 1.0)
    server = post_server(tls=tls_files)
    with raw(server.address, b"\x16\x03\x01") as silent:
        assert silent.recv(1000) == b""


@pytest.mark.slow
def test_clients_that_never_end_the_handshake_are_counted_and_leave_room_for_others(
    post_server: Callable, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.https.server._HEADER_SECONDS", 2.0)
    server = post_server(tls=tls_files, proxies=[], requests=4)  # eight connections, two for each client
    silent = [raw(server.address, b"\x16\x03\x01") for _ in range(2)]
    with raw(server.address, b"") as one_too_many:
        assert one_too_many.recv(1) == b""
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    with encrypted(server.address, tls_files, "127.0.0.2") as other:
        other.sendall(request)
        assert other.recv(1000).startswith(b"HTTP/1.1 201")
    for client in silent:
        client.recv(1000)
        client.close()
    with encrypted(server.address, tls_files, "127.0.0.1") as late:
        late.sendall(request)
        assert late.recv(1000).startswith(b"HTTP/1.1 201")


def encrypted(address: tuple[str, int], files: TlsFiles, source: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(files.certificate))
    context.check_hostname = False
    plain = socket.create_connection(address, timeout=60, source_address=(source, 0))
    return context.wrap_socket(plain)


def test_one_client_leaves_connections_to_the_others(post_server: Callable, tls_files: TlsFiles) -> None:
    server = post_server(tls=tls_files, proxies=[], requests=4)  # eight connections, two for each client
    greedy = [encrypted(server.address, tls_files, "127.0.0.1") for _ in range(2)]
    with pytest.raises((ssl.SSLError, ConnectionError)):  # before the handshake, which costs memory
        encrypted(server.address, tls_files, "127.0.0.1")
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    with encrypted(server.address, tls_files, "127.0.0.2") as other:
        other.sendall(request)
        assert other.recv(1000).startswith(b"HTTP/1.1 201")
    for client in greedy:
        client.sendall(request)
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
        client.close()


@pytest.mark.slow
def test_a_client_that_never_stops_to_ask_is_told_to_come_back_anew(
    post_server: Callable, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.https.server._CONNECTION_SECONDS", 1.0)
    server = post_server(tls=tls_files)
    request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    with encrypted(server.address, tls_files, "127.0.0.1") as client:
        answers: list[bytes] = []
        while not answers or b"Connection: close" not in answers[-1]:
            client.sendall(request)
            answers.append(client.recv(1000))
            assert answers[-1].startswith(b"HTTP/1.1 201")
            assert len(answers) < 1_000_000
        assert client.recv(1000) == b""
    assert len(server.received()) == len(answers) > 1


@pytest.mark.slow
def test_a_client_that_never_reads_does_not_hold_its_place_for_ever(
    post_server: Callable, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers fill all buffers, so that no timer of HTTP runs for it."""
    monkeypatch.setattr("collector.sources.https.server._CONNECTION_SECONDS", 3.0)
    server = post_server(tls=tls_files, proxies=[], requests=1, timeout="1s")  # two connections, one for each client
    with encrypted(server.address, tls_files, "127.0.0.1") as deaf:
        deaf.settimeout(0.5)
        with pytest.raises(TimeoutError):  # as soon as nobody reads what it asks
            deaf.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000_000)

        def other_is_served() -> bool:
            with (
                contextlib.suppress(ssl.SSLError, ConnectionError),
                encrypted(server.address, tls_files, "127.0.0.1") as other,
            ):
                other.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
                return other.recv(1000).startswith(b"HTTP/1.1 201")
            return False

        eventually("the end of the deaf client", other_is_served)


@pytest.mark.slow
def test_beyond_the_limit_of_requests_the_next_is_asked_to_come_back(post_server: Callable) -> None:
    server = post_server(requests=2)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n".encode()
    waiting = [raw(server.address, head, source) for source in ("127.0.0.2", "127.0.0.3")]
    eventually("both are read", lambda: len(server.server.requests) == 2)
    refused = ask(server.address, "POST", PATH, REPORT)
    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) > 0
    for client in waiting:
        client.sendall(b"x")
        assert client.recv(1000).startswith(b"HTTP/1.1 201")
    assert ask(server.address, "POST", PATH, REPORT).status == 201
    idle = [raw(server.address, b"") for _ in range(8)]
    eventually("all places are taken", lambda: len(server.server.connections) == 4)
    with raw(server.address, b"") as one_too_many:
        assert one_too_many.recv(1000) == b""
    for client in idle:
        client.close()


def test_one_client_leaves_requests_to_the_others_also_behind_a_proxy(post_server: Callable) -> None:
    server = post_server(requests=4)  # one for each client
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 1\r\n\r\n".encode()
    with raw(server.address, head) as slow:
        eventually("it is read", lambda: len(server.server.requests) == 1)
        assert ask(server.address, "POST", PATH, REPORT, X_Forwarded_For="192.0.2.1").status == 503
        assert ask(server.address, "POST", PATH, REPORT, X_Forwarded_For="192.0.2.2").status == 201
        slow.sendall(b"x")
        assert slow.recv(1000).startswith(b"HTTP/1.1 201")
    assert ask(server.address, "POST", PATH, REPORT, X_Forwarded_For="192.0.2.1").status == 201


def test_large_posts_share_a_bounded_memory_and_small_ones_pass(post_server: Callable) -> None:
    memory = BodyMemory(largest=4 * MIB, large_bytes=0, patience=0.1)
    server = post_server(body_size=4 * MIB, memory=memory)
    assert memory.take(2 * MIB, small=False)  # another one is on its way
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {3 * MIB}\r\n\r\n".encode()
    with raw(server.address, head) as large:
        answer = large.recv(1000)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"\r\nRetry-After: " in answer
    assert ask(server.address, "POST", PATH, REPORT).status == 201
    memory.give_back(2 * MIB)
    assert ask(server.address, "POST", PATH, b"x" * 3 * MIB).status == 201
    assert memory.take(4 * MIB, small=False)  # all room was given back


def test_who_posts_a_large_body_too_slowly_makes_room_for_those_who_wait(post_server: Callable) -> None:
    now = [0.0]
    memory = BodyMemory(largest=4 * MIB, large_bytes=0, clock=lambda: now[0])
    server = post_server(body_size=4 * MIB, memory=memory)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {4 * MIB}\r\n\r\n".encode()

    def full() -> bool:
        if memory.take(1, small=False):
            memory.give_back(1)
            return False
        return True

    with raw(server.address, head) as silent:
        eventually("the silent one has all room", full)
        now[0] += 60
        assert ask(server.address, "POST", PATH, b"x" * 3 * MIB).status == 201
        with contextlib.suppress(ConnectionError):
            assert silent.recv(1000) == b""
    assert memory.take(4 * MIB, small=False)


def test_a_fault_of_ours_is_no_loss(post_server: Callable, capfd: pytest.CaptureFixture[str]) -> None:
    server = post_server()
    server.spool.put_async = None
    assert ask(server.address, "POST", PATH, REPORT).status == 503
    output = "".join(capfd.readouterr())
    assert "request failed" in output
    assert TOKENS["example.com"] not in output


def test_while_the_disk_is_full_clients_come_back_later(post_server: Callable) -> None:
    server = post_server(keep_free=1 << 60)
    refused = ask(server.address, "POST", PATH, REPORT)
    assert refused.status == 503
    assert "Retry-After" in refused.headers
    assert server.received() == []


def _serial(address: tuple[str, int], files: TlsFiles, name: str | None) -> str:
    context = ssl.create_default_context(cafile=str(files.certificate))
    context.check_hostname = False
    with (
        socket.create_connection(address, timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        tls.sendall(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert tls.recv(1000).startswith(b"HTTP/1.1 201")
        return tls.getpeercert()["serialNumber"]


@pytest.mark.slow
def test_a_renewed_certificate_is_used_without_a_restart(
    post_server: Callable, tls_files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.certificate._LOOK_AGAIN_SECONDS", 0)
    server = post_server(tls=tls_files)
    first = _serial(server.address, tls_files, "mx.example.com")
    renewed = write_certificate(tls_files, "mx.example.com")
    assert renewed != first
    assert int(_serial(server.address, tls_files, "mx.example.com"), 16) == int(renewed, 16)
    assert int(_serial(server.address, tls_files, None), 16) == int(renewed, 16), "also for clients without SNI"
