"""Why an answer of DNS cannot be read: asked for once more, and read as far as it goes.

The resolver passes over what it cannot read, since anybody may have sent it, and waits for something better. So a
record with a mistake in it looks like a nameserver that is silent.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import Any, Final

import dns.asyncbackend
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from mailposture.quoting import quoted

_LARGEST: Final = 65_535  # bytes of a datagram
_DIGESTS: Final = {1: ("SHA-256", 32), 2: ("SHA-512", 64)}  # RFC 6698, section 2.1.3
_EDNS: Final = 1232
_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION: Final = 4  # bytes after its name
_RECORD: Final = struct.Struct("!HHIH")  # after its name: type, class, TTL, length
_POINTER: Final = 0xC0  # from there on a byte begins no label


@dataclass(frozen=True, kw_only=True)
class Partly:
    """What can be read of an answer, and in words what cannot."""

    records: tuple[Any, ...] = ()
    ttl: int = 0
    authenticated: bool = False
    faults: tuple[str, ...] = ()


async def read_partly(
    name: dns.name.Name, record_type: str, *, address: str, port: int, seconds: float
) -> Partly | None:
    """Ask a nameserver, and read its answer as far as that goes; None if none comes, or it is as it should be."""
    query = dns.message.make_query(name, record_type, use_edns=0, payload=_EDNS)
    query.flags |= dns.flags.AD
    with contextlib.suppress(OSError, dns.exception.DNSException):
        wire = await _answer(query.to_wire(), address, port, seconds)
        if wire[:2] == query.id.to_bytes(2, "big"):
            partly = _read(wire, query.question[0].rdtype)
            return partly if partly.faults else None
    return None


async def _answer(query: bytes, address: str, port: int, seconds: float) -> bytes:
    """The first datagram that comes from the nameserver; empty if another comes first."""
    backend = dns.asyncbackend.get_backend("asyncio")
    family = dns.inet.af_for_address(address)
    async with await backend.make_socket(family, socket.SOCK_DGRAM, 0, None, None) as datagrams:  # type: ignore[no-untyped-call]
        await datagrams.sendto(query, dns.inet.low_level_address_tuple((address, port), family), seconds)
        wire, sender = await datagrams.recvfrom(_LARGEST, seconds)
    return bytes(wire) if sender[:2] == (address, port) else b""


def _read(wire: bytes, wanted: dns.rdatatype.RdataType) -> Partly:
    records: list[Any] = []
    ttls: list[int] = []
    faults: list[str] = []
    try:
        _, flags, questions, answers, _, _ = _HEADER.unpack_from(wire)
        end = _HEADER.size
        for _ in range(questions):
            end = _end_of_name(wire, end) + _QUESTION
        for _ in range(answers):
            at = _end_of_name(wire, end)
            rdtype, rdclass, ttl, size = _RECORD.unpack_from(wire, at)
            at, end = at + _RECORD.size, at + _RECORD.size + size
            if end > len(wire):
                raise ValueError("it ends within a record")
            data = wire[at:end]
            if (rdtype, rdclass) != (wanted, dns.rdataclass.IN):
                continue
            ttls.append(ttl)
            try:
                records.append(dns.rdata.from_wire(rdclass, rdtype, wire, at, size))
            except Exception as error:  # each type has exceptions of its own
                faults.append(_words(wanted, data, error))
    except (ValueError, IndexError, struct.error):
        return Partly(faults=(f"the answer of {len(wire)} bytes is cut off or damaged",))
    return Partly(
        records=tuple(records),
        ttl=min(ttls, default=0),
        authenticated=bool(flags & dns.flags.AD),
        faults=tuple(faults),
    )


def _end_of_name(wire: bytes, at: int) -> int:
    """RFC 1035, section 4.1.4. Raises IndexError."""
    while length := wire[at]:
        if length >= _POINTER:
            return at + 2
        at += 1 + length
    return at + 1


def _words(rdtype: dns.rdatatype.RdataType, data: bytes, error: Exception) -> str:
    if rdtype == dns.rdatatype.TLSA and len(data) > 3 and data[2] in _DIGESTS:
        digest, size = _DIGESTS[data[2]]
        return f"the record `{data[0]} {data[1]} {data[2]} ...` has {len(data) - 3} bytes, where {digest} has {size}"
    return f"a record of {len(data)} bytes cannot be read: {quoted(str(error) or type(error).__name__)}"
