"""A token endpoint or Graph that is hostile or broken neither fills memory nor keeps us busy, nor gets what is ours."""

from __future__ import annotations

import itertools
import socketserver
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from sources_mail.identity import Identity

from collector.sources.mailbox.graph_client import GraphClient, graph
from collector.sources.mailbox.mailbox import LostError, RefusedError, Trouble
from collector.sources.mailbox.oauth import Tokens
from collector.sources.mailbox.words import Secrets
from mailposture.config.mailboxes import GraphMailbox, OAuth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pki import CertificateAuthority

PIECE = b"x" * 65_536


@contextmanager
def serving(authority: CertificateAuthority, said: Callable[[], Iterable[bytes]]) -> Iterator[str]:
    """An HTTPS server that reads some of a request, says something, and hangs up. Its URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            for piece in said():
                self.request.sendall(piece)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # clients that have gone

    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = authority.issue(["localhost"]).server_context().wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://localhost:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def trickle(begin: bytes) -> Callable[[], Iterator[bytes]]:
    def said() -> Iterator[bytes]:
        yield begin
        while True:
            time.sleep(0.01)
            yield b"x"

    return said


ENDLESS: dict[str, tuple[Callable[[], Iterable[bytes]], str]] = {
    "its first line trickles": (trickle(b"HTTP/1.1 200 "), "has not ended its answer"),
    "a header field trickles": (trickle(b"HTTP/1.1 200 OK\r\nX: "), "has not ended its answer"),
    "a body trickles": (trickle(b"HTTP/1.1 200 OK\r\n\r\n"), "has not ended its answer"),
    "a chunk trickles": (
        trickle(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n"),
        "has not ended its answer",
    ),
    "header fields without end": (
        lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X: y\r\n" * 1000)),
        "more than",
    ),
    "a header field without end": (
        lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nX: "], itertools.repeat(PIECE)),
        "got more than 65536 bytes",
    ),
}


@pytest.fixture
def tokens(authority: CertificateAuthority, tmp_path: Path) -> Callable[..., Tokens]:
    def new(url: str) -> Tokens:
        settings = {**Identity(authority).settings(tmp_path), "token_url": url}
        return Tokens(OAuth(**settings), kept=tmp_path / "a.token", secrets=Secrets())

    return new


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.sources.mailbox.bounded._LONGEST_ANSWER", 0.3)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ENDLESS)
def test_an_answer_without_end_is_ended(
    authority: CertificateAuthority, tokens: Callable[..., Tokens], tmp_path: Path, how: str
) -> None:
    said, words = ENDLESS[how]
    with serving(authority, said) as url:
        with pytest.raises(LostError, match=words):
            tokens(url).token()
        with reading_graph(authority, tmp_path, url) as client, pytest.raises(LostError, match=words):
            client.get("users")
        with reading_graph(authority, tmp_path, url) as client, pytest.raises(LostError, match=words):
            client.mime("users", limit=1_000_000)


@contextmanager
def reading_graph(authority: CertificateAuthority, folder: Path, url: str) -> Iterator[GraphClient]:
    identity = Identity(authority)
    with identity.serving():
        settings = GraphMailbox(
            user="u@shop.example",
            url=f"{url}/v1.0",
            oauth=OAuth(**identity.settings(folder)),
            certificate_authority=authority.certificate,
        )
        secrets = Secrets()
        ours = Tokens(settings.oauth, kept=folder / "b.token", secrets=secrets)
        with graph(settings, ours, secrets) as client:
            yield client


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b" " * 9_000_000 + b"{}", b"\xff", b"NaN"])
def test_an_answer_that_is_too_deep_or_too_large_cannot_be_read(
    authority: CertificateAuthority, tmp_path: Path, body: bytes
) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with (
        serving(authority, lambda: [head, body]) as url,
        reading_graph(authority, tmp_path, url) as client,
        pytest.raises(RefusedError, match="cannot be read"),
    ):
        client.get("users")


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/v1.0/x",
        "{}/v1.0/../x",
        "{}/v1.0/%2e%2E/x",
        "{}/v1.0/./../x",
        "{}/v1.0/..",
        "{}/v1.0/..?a",
        "{}/v1.0.elsewhere.example/x",
        "{}@elsewhere.example/v1.0/x",
        "{}/v2.0/x",
    ],
)
def test_a_link_that_leads_elsewhere_gets_no_token(authority: CertificateAuthority, tmp_path: Path, link: str) -> None:
    asked: list[bool] = []
    with (
        serving(authority, lambda: asked.append(True) or []) as url,  # type: ignore[func-returns-value]
        reading_graph(authority, tmp_path, url) as client,
        pytest.raises(LostError, match="a link outside"),
    ):
        client.get(link.format(url))
    assert asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_secret_follows_a_redirect(
    authority: CertificateAuthority, tokens: Callable[..., Tokens], tmp_path: Path, status: int
) -> None:
    asked: list[str] = []
    with serving(authority, lambda: asked.append("") or []) as elsewhere:  # type: ignore[func-returns-value]
        moved = b"HTTP/1.1 %d Moved\r\nLocation: %b/x\r\nContent-Length: 0\r\n\r\n" % (status, elsewhere.encode())
        with serving(authority, lambda: [moved]) as url:
            with pytest.raises(LostError, match=rf"gives no token \({status}\)") as raised:
                tokens(url).token()
            assert raised.value.trouble is Trouble.TOKEN
            with reading_graph(authority, tmp_path, url) as client, pytest.raises(RefusedError, match=str(status)):
                client.get("users")
    assert asked == []
