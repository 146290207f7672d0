"""A DNS server on loopback that serves a zone file."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dnslib import QTYPE, RCODE, RR
from dnslib.server import BaseResolver, DNSServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Zone(BaseResolver):
    """Answers from `text`, which a test may replace, follows aliases, and fails for the names in `broken`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.authenticated = False  # whether answers carry AD, as those of a resolver that validates DNSSEC
        self.broken: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.before_answering: Callable[[str, str], None] = lambda *_: None  # may wait
        self.garble: Callable[[str, bytes], bytes] | None = None  # changes answers on the wire, by the name asked for
        self._lock = threading.Lock()

    def resolve(self, request: Any, handler: Any) -> Any:
        """dnslib's interface."""
        reply = self._answer(request)
        if self.garble is None:
            return reply
        return _Garbled(self.garble(str(request.q.qname).lower().rstrip("."), reply.pack()))

    def _answer(self, request: Any) -> Any:
        reply = request.reply()
        reply.header.ad = int(self.authenticated)
        name, type_ = str(request.q.qname).lower(), QTYPE[request.q.qtype]
        with self._lock:
            self.asked.append((name.rstrip("."), type_))
        self.before_answering(name.rstrip("."), type_)
        if name.rstrip(".") in self.broken:
            reply.header.rcode = RCODE.SERVFAIL
            return reply
        records = RR.fromZone(self.text)
        known = False
        for _ in range(8):
            owner = _owner(name, {str(record.rname).lower() for record in records})
            own = [record for record in records if str(record.rname).lower() == owner]
            known = known or bool(own)
            found = [record for record in own if QTYPE[record.rtype] in {type_, "CNAME"}]
            for record in found:
                reply.add_answer(RR(name, record.rtype, ttl=record.ttl, rdata=record.rdata))
            aliases = [str(record.rdata).lower() for record in found if QTYPE[record.rtype] == "CNAME"]
            if not aliases or type_ == "CNAME":
                break
            name = aliases[0]
        if not known:
            reply.header.rcode = RCODE.NXDOMAIN
        return reply


def _owner(name: str, owners: set[str]) -> str:
    """The name whose records answer for another: its own, or the wildcard below what is there of it (RFC 4592)."""
    there = name
    while there and not any(owner == there or owner.endswith(f".{there}") for owner in owners):
        there = there.partition(".")[2]
    return name if there == name else f"*.{there}"


@dataclass(frozen=True)
class _Garbled:
    """Bytes in place of a reply."""

    wire: bytes

    def pack(self) -> bytes:
        return self.wire


class _Silent:
    def log_data(self, *_: Any) -> None: ...

    log_pass = log_prefix = log_recv = log_send = log_request = log_reply = log_truncated = log_error = log_data


@contextmanager
def serving(zone: Zone, *, address: str = "127.0.0.1") -> Iterator[int]:
    """Serve a zone by UDP and TCP on a free port of an address of this machine."""
    udp, tcp = _servers(zone, address)
    threads = [threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01}) for one in (udp, tcp)]
    for thread in threads:
        thread.start()
    try:
        yield udp.server_address[1]
    finally:
        for server, thread in zip((udp, tcp), threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _servers(zone: Zone, address: str) -> tuple[Any, Any]:
    """On one port, which is free for both."""
    for _ in range(100):
        udp = DNSServer(zone, port=0, address=address, logger=_Silent()).server
        with suppress(OSError):
            tcp = DNSServer(zone, port=udp.server_address[1], address=address, tcp=True, logger=_Silent()).server
            tcp.daemon_threads = True
            return udp, tcp
        udp.server_close()
    raise OSError("no port is free for UDP and TCP")
