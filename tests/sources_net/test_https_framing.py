"""One request is one post, whatever its framing: nothing that hides a second one is read in two ways (RFC 9112)."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING

import pytest
from sources_net.listeners import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = TOKENS["example.com"].encode()
POST = b"POST /v1/tls-reports/%b HTTP/1.1\r\nHost: x\r\n" % TOKEN
HIDDEN = POST + b"Content-Length: 5\r\nConnection: close\r\n\r\nsmall"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def answers(address: tuple[str, int], request: bytes) -> list[bytes]:
    """The statuses of all answers, until the server closes."""
    answer = b""
    with socket.create_connection(address, timeout=60) as client, contextlib.suppress(ConnectionError):
        client.sendall(request)
        while piece := client.recv(65536):
            answer += piece
    return re.findall(rb"HTTP/1\.[01] (\d{3})", answer)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        pytest.param(b"Content-Length: 4\r\n" + CHUNKED, b"0\r\n\r\n", id="length and chunks"),
        pytest.param(CHUNKED + b"Content-Length: 4\r\n", b"0\r\n\r\n", id="chunks and length"),
        pytest.param(b"Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n", id="an unknown coding"),
        pytest.param(b"Transfer-Encoding : chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n", id="space before colon"),
        pytest.param(b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n", b"0\r\n\r\n", id="folded"),
        pytest.param(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n", id="chunked, identity"),
        pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n", id="twice"),
        pytest.param(b"Content-Length: 1\r\nContent-Length: 9\r\n", b"x", id="two lengths"),
        pytest.param(b"Content-Length: 1, 1\r\n", b"x", id="a list of lengths"),
        pytest.param(b"Content-Length: +1\r\n", b"x", id="a sign"),
        pytest.param(b"Content-Length: 1_0\r\n", b"0123456789", id="an underscore"),
        pytest.param(b"Content-Length: 0x1\r\n", b"x", id="a hexadecimal length"),
        pytest.param(b"Content-Length: \xef\xbc\x91\r\n", b"x", id="a fullwidth digit"),
        pytest.param(b"Content-Length: 1\r\n\x0bContent-Length: 9\r\n", b"x", id="a vertical tab"),
        pytest.param(b"X: a\nContent-Length: 1\r\n", b"x", id="a bare line feed"),
        pytest.param(b"X: a\rContent-Length: 1\r\n", b"x", id="a bare carriage return"),
        pytest.param(b"X: a\0b\r\nContent-Length: 1\r\n", b"x", id="a zero byte"),
        pytest.param(CHUNKED, b"1;a\nb\r\nx\r\n0\r\n\r\n", id="a line feed in a chunk's extension"),
        pytest.param(CHUNKED, b"0x1\r\nx\r\n0\r\n\r\n", id="a hexadecimal prefix"),
        pytest.param(CHUNKED, b"-1\r\nx\r\n0\r\n\r\n", id="a negative chunk"),
        pytest.param(CHUNKED, b"1\r\nxx0\r\n\r\n", id="a chunk that is longer than it says"),
        pytest.param(CHUNKED, b"10000000000000001\r\nx\r\n0\r\n\r\n", id="a chunk beyond 64 bits"),
    ],
)
def test_what_can_be_framed_in_two_ways_is_refused_with_all_that_follows(
    post_server: Callable, fields: bytes, body: bytes
) -> None:
    server = post_server()
    got = answers(server.address, POST + fields + b"\r\n" + body + HIDDEN)
    assert got in ([b"400"], [])
    assert [message.body for message in server.received()] == []


def test_clear_framing_is_read_to_its_end_and_not_beyond(post_server: Callable) -> None:
    server = post_server()
    chunked = POST + CHUNKED + b"\r\n2;name=value\r\nab\r\n3\r\ncde\r\n0\r\nTrailer: x\r\n\r\n"
    got = answers(server.address, POST + b"Content-Length: 2\r\n\r\nhi" + chunked + HIDDEN)
    assert got == [b"201", b"201", b"201"]
    assert [message.body for message in server.received()] == [b"hi", b"abcde", b"small"]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(POST + b"X: %b\r\n" % (b"a" * 100) * 20_000 + b"\r\n", id="20,000 fields"),
        pytest.param(POST.replace(b" HTTP", b"?" + b"a" * 100_000 + b" HTTP") + b"\r\n", id="a request line of 100 KB"),
        pytest.param(POST + b"X: " + b"a" * 1_000_000 + b"\r\n\r\n", id="a field of 1 MB"),
    ],
)
def test_more_than_a_header_needs_is_refused(post_server: Callable, request_: bytes) -> None:
    server = post_server()
    assert answers(server.address, request_) in ([b"400"], [b"414"], [b"431"], [])
    assert server.received() == []


@pytest.mark.parametrize(
    "path",
    [
        *(b"/v1/tls-reports/%b%%00", b"/v1/tls-reports/%b/../%b", b"//v1/tls-reports/%b", b"/v1/tls-reports/%b/x"),
        *(b"/v1/tls-reports/%b%%20", b"/v1/tls-reports/%b;a", b"/v1/TLS-REPORTS/%b", b"/v1/tls-reports/%b%%2f"),
    ],
)
def test_only_the_very_path_is_the_secret_one(post_server: Callable, path: bytes) -> None:
    server = post_server()
    request = b"POST " + path.replace(b"%b", TOKEN).replace(b"%%", b"%") + b" HTTP/1.1\r\nHost: x\r\n"
    (answer,) = answers(server.address, request + b"Content-Length: 1\r\nConnection: close\r\n\r\nx")
    assert answer in (b"400", b"404", b"405")
    assert server.received() == []
