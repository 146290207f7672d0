"""DNS as the checks ask it: found, absent or failed, and whether DNSSEC authenticates the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from mailposture.problems import ProblemError
from mailposture.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

DNS_PORT = 53


class Status(StrEnum):
    """How a lookup ended."""

    FOUND = "found"
    ABSENT = "absent"  # no such name, or no such record there
    FAILED = "failed"  # no server gave an answer: nothing is known


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The records at a name."""

    status: Status
    records: tuple[Any, ...] = ()  # dnspython's rdata of the type asked for
    authenticated: bool = False  # the resolver says that it verified DNSSEC (AD, RFC 4035, section 3.2.3)
    ttl: int = 0
    detail: str = ""

    def texts(self) -> tuple[bytes, ...]:
        """TXT records, each joined from its strings."""
        return tuple(b"".join(record.strings) for record in self.records)

    def published(self, *, beginning: str = "") -> str:
        """The records as text, of TXT those that begin so; the same for the same records in whatever order."""
        if self.status is not Status.FOUND:
            return ""
        if self.records[0].rdtype == dns.rdatatype.TXT:
            found = [text.decode("ascii", "backslashreplace") for text in self.texts()]
        else:
            found = [record.to_text().lower() for record in self.records]
        return "\n".join(sorted(text for text in found if text.lower().startswith(beginning)))


class Resolver:
    """Asks the given nameservers (`IP` or `IP@port`), or those of the system."""

    def __init__(self, *, nameservers: Sequence[str] = (), timeout: float = 5.0) -> None:
        """Raise ValueError if a nameserver is no IP address with an optional port, ProblemError if none is known."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            raise ProblemError("the system names no nameserver (/etc/resolv.conf); set probes.nameservers") from error
        if nameservers:
            self._resolver.nameservers = [_nameserver(text) for text in nameservers]
        self._resolver.lifetime = timeout
        self._resolver.use_edns(0, 0, 1232)  # the size that fits every path without fragments
        self._resolver.flags = dns.flags.RD | dns.flags.AD  # AD asks for AD (RFC 6840, section 5.7)

    async def lookup(self, name: str, record_type: str) -> Answer:
        """Ask for the records of a type at an absolute name."""
        try:
            answer = await self._resolver.resolve(dns.name.from_text(name), record_type, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return Answer(status=Status.ABSENT, detail=f"there is no {record_type} record at {name}")
        except (dns.exception.DNSException, OSError) as error:
            return Answer(status=Status.FAILED, detail=f"{record_type} of {name}: {self._words(error)}")
        return Answer(
            status=Status.FOUND,
            records=tuple(answer.rrset or ()),
            authenticated=bool(answer.response.flags & dns.flags.AD),
            ttl=answer.rrset.ttl if answer.rrset else 0,
        )

    def _words(self, error: Exception) -> str:
        """Why there is no answer, in one line: dnspython lists every attempt."""
        if isinstance(error, dns.resolver.LifetimeTimeout):
            return f"no nameserver answered within {self._resolver.lifetime:g} s"
        if isinstance(error, dns.resolver.NoNameservers):
            replies = sorted({str(attempt[3]) for attempt in error.kwargs["errors"]})
            return f"every nameserver failed: {quoted('; '.join(replies))}"
        return f"no answer: {quoted(str(error))}"

    async def addresses(self, host: str) -> Answer:
        """The IPv6 and IPv4 addresses of a host, as text in `records`; FAILED only if neither question was answered."""
        answers = await asyncio.gather(self.lookup(host, "AAAA"), self.lookup(host, "A"))
        found = [answer for answer in answers if answer.status is Status.FOUND]
        if found:
            return Answer(
                status=Status.FOUND,
                records=tuple(record.address for answer in found for record in answer.records),
                authenticated=all(answer.authenticated for answer in found),
                ttl=min(answer.ttl for answer in found),
            )
        return next((answer for answer in answers if answer.status is Status.FAILED), answers[1])


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    address, _, port = text.partition("@")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not IP or IP@port")
    try:
        return dns.nameserver.Do53Nameserver(dns.inet.canonicalize(address), int(port or DNS_PORT))
    except (ValueError, dns.exception.DNSException) as error:
        raise ValueError(f"{text!r} is not IP or IP@port") from error
