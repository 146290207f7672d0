"""A name server on loopback that knows the demo's names only, so that the demo's signatures are verified for real."""

from __future__ import annotations

import socketserver
import threading
from typing import TYPE_CHECKING, Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_TTL = 300


class _Questions(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        wire, socket = self.request
        try:
            query = dns.message.from_wire(wire)
            socket.sendto(self.server.answer(query).to_wire(), self.client_address)
        except dns.exception.DNSException:
            return  # not a question; a name server stays silent


class _Server(socketserver.ThreadingUDPServer):
    daemon_threads = True

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Questions)
        self._texts = {name.rstrip(".").lower(): text for name, text in texts.items()}

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        if not query.question:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        question = query.question[0]
        text = self._texts.get(question.name.to_text(omit_final_dot=True).lower())
        if text is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.TXT:
            # A TXT string holds at most 255 bytes (RFC 1035, section 3.3); a key needs several.
            strings = " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))
            response.answer.append(
                dns.rrset.from_text(question.name, _TTL, dns.rdataclass.IN, dns.rdatatype.TXT, strings)
            )
        return response


class Nameserver:
    """Answers TXT questions from a table of name → text, on a UDP port that the system chooses, until closed."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._server = _Server(texts)
        self._thread = threading.Thread(target=self._server.serve_forever, name="demo nameserver", daemon=True)

    @property
    def address(self) -> str:
        """`IP@port`, as the configuration's nameservers are written."""
        host, port = self._server.server_address[:2]
        return f"{host!s}@{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
