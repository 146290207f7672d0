"""An HTTPS server in a thread, for services that a test plays: strict about what they are asked."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pki import CertificateAuthority


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Any
    body: bytes


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving_https(authority: CertificateAuthority | None, answer: Callable[[Request], Answer]) -> Iterator[int]:
    """The port on loopback; without an authority it speaks HTTP. One request is answered at a time."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two packets: the second would wait 40 ms each time

        def do_any(self) -> None:
            target = urlsplit(self.path)
            pairs = parse_qsl(target.query, keep_blank_values=True, strict_parsing=bool(target.query))
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            with lock:
                answered = answer(
                    Request(method=self.command, path=target.path, query=dict(pairs), headers=self.headers, body=body)
                )
            self.send_response(answered.status)
            for name, value in answered.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answered.body)))
            self.end_headers()
            self.wfile.write(answered.body)

        do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # clients that do not trust us

    with Server(("127.0.0.1", 0), Handler) as server:
        if authority is not None:
            context = authority.issue(["localhost"]).server_context()
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
