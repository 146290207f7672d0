"""DNS as the checks ask it: found, absent or failed, and whether DNSSEC authenticates the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdataclass
import dns.rdatatype
import dns.resolver

from mailposture.checks.unreadable import read_partly
from mailposture.problems import ProblemError
from mailposture.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

DNS_PORT = 53
_AGAIN = 1.0  # seconds for the look that shows why an answer cannot be read
_MOST_FAULTS = 5
_CIRCLE = "its aliases (CNAME) lead in a circle, or to too many others"


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
    malformed: bool = False  # there is an answer, which cannot be read, or not all of it: `detail` says why

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
        except dns.resolver.NXDOMAIN:
            return _absent(name, record_type)
        except dns.resolver.NoAnswer as error:
            return _of_another_class(name, record_type, error) or _absent(name, record_type)
        except (dns.resolver.LifetimeTimeout, dns.resolver.NoNameservers) as error:
            words = self._words(error)
            return await self._unreadable(name, record_type) or _failed(
                name, record_type, words, malformed=words == _CIRCLE
            )
        except (dns.exception.DNSException, OSError) as error:
            return _failed(name, record_type, self._words(error))
        return Answer(
            status=Status.FOUND,
            records=tuple(answer.rrset or ()),
            authenticated=bool(answer.response.flags & dns.flags.AD),
            ttl=answer.rrset.ttl if answer.rrset else 0,
        )

    async def _unreadable(self, name: str, record_type: str) -> Answer | None:
        """What the first nameserver says, if that cannot be read as it should."""
        server = self._resolver.nameservers[0]
        if isinstance(server, dns.nameserver.AddressAndPortNameserver):
            address, port = server.address, server.port
        else:
            address, port = str(server), self._resolver.port
        seconds = min(_AGAIN, self._resolver.lifetime)
        partly = await read_partly(dns.name.from_text(name), record_type, address=address, port=port, seconds=seconds)
        if partly is None:
            return None
        words = _shortened(partly.faults)
        if not partly.records or record_type != "TLSA":  # of TLSA, senders skip the record (RFC 7672, section 2.1)
            return _failed(name, record_type, words, malformed=True)
        return Answer(
            status=Status.FOUND,
            records=partly.records,
            authenticated=partly.authenticated,
            ttl=partly.ttl,
            detail=words,
            malformed=True,
        )

    def _words(self, error: Exception) -> str:
        """Why there is no answer, in one line: dnspython lists every attempt."""
        if isinstance(error, dns.resolver.LifetimeTimeout):
            return f"no nameserver answered within {self._resolver.lifetime:g} s"
        if isinstance(error, dns.resolver.NoNameservers):
            replies = sorted({str(attempt[3]) for attempt in error.kwargs["errors"]} - {""})
            if any(isinstance(attempt[3], dns.message.ChainTooLong) for attempt in error.kwargs["errors"]):
                return _CIRCLE
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


def _absent(name: str, record_type: str) -> Answer:
    return Answer(status=Status.ABSENT, detail=f"there is no {record_type} record at {name}")


def _failed(name: str, record_type: str, words: str, *, malformed: bool = False) -> Answer:
    return Answer(status=Status.FAILED, detail=f"{record_type} of {name}: {words}", malformed=malformed)


def _of_another_class(name: str, record_type: str, error: dns.resolver.NoAnswer) -> Answer | None:
    classes = {rrset.rdclass for rrset in error.kwargs["response"].answer} - {dns.rdataclass.IN}
    if not classes:
        return None
    words = f"the answer is of class {dns.rdataclass.to_text(min(classes))}, where IN was asked for"
    return _failed(name, record_type, words, malformed=True)


def _shortened(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _MOST_FAULTS} more" if len(faults) > _MOST_FAULTS else ""
    return "; ".join(faults[:_MOST_FAULTS]) + more


def _nameserver(text: str) -> dns.nameserver.Nameserver:
    address, _, port = text.partition("@")
    if port and not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not IP or IP@port")
    try:
        return dns.nameserver.Do53Nameserver(dns.inet.canonicalize(address), int(port or DNS_PORT))
    except (ValueError, dns.exception.DNSException) as error:
        raise ValueError(f"{text!r} is not IP or IP@port") from error
