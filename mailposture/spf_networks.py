"""The networks that an SPF record lets send (RFC 7208), as far as they can be listed without a message.

What depends on the message is left out: `exists`, `ptr`, and names with macros. So is what says nothing about anybody:
very wide networks, and all of a record that lets everybody send. As for receivers, the first term that matches
decides: what an earlier term refuses is not listed, and nothing is read behind the tenth look-up.
"""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from spftrace import SpfPermError, Term, parse

from mailposture.domain_names import normalize
from mailposture.spf import MOST_LOOKUPS, MOST_QUESTIONS, UnansweredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.spf import Ask

Network: TypeAlias = IPv4Network | IPv6Network

MOST_NETWORKS: Final = 1000  # of a record with all that it includes; large services have a hundred
_MOST_HOSTS: Final = 10  # of an MX (RFC 7208, section 4.6.4)
_WIDEST: Final = {4: 16, 6: 32}  # bits of a prefix; of a wider network nobody has all addresses but a provider
_ASKING: Final = frozenset(("include", "a", "mx", "ptr", "exists", "redirect"))  # terms that count as look-ups


class SpfNetwork(NamedTuple):
    """Addresses that may send, and through which names a record lets them."""

    network: Network
    via: tuple[str, ...]  # what is included, then the host of `a` or `mx`, from the outside in; empty: in the record


class _EndsError(Exception):
    """Receivers read no further."""


class _OpenError(Exception):
    """The record lets everybody send."""


async def listed_networks(domain: str, *, ask: Ask, seconds: float) -> tuple[SpfNetwork, ...]:
    """What the SPF record of a domain lists; what was read until then if it breaks off, and nothing if it is open."""
    found: list[SpfNetwork] = []
    try:
        async with asyncio.timeout(seconds):
            await _Reading(ask).record(domain, (), found)
    except _OpenError:
        return ()
    except (_EndsError, TimeoutError):
        pass
    return tuple(dict.fromkeys(found))


class _Reading:
    """One record with all that it includes."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lookups = 0
        self._questions = 0
        self._found = 0

    async def record(self, domain: str, via: tuple[str, ...], listed: list[SpfNetwork]) -> None:
        """Add to `listed` what the record of a domain lets send."""
        texts = [text for text in await self._asked(domain, "TXT") if text.lower().split(" ")[0] == "v=spf1"]
        if len(texts) != 1:
            raise _EndsError  # an error for every receiver
        try:
            read = parse(texts[0])
        except SpfPermError as error:
            raise _EndsError from error
        refused: list[SpfNetwork] = []
        for term in (term for term in read.terms if term.is_mechanism):
            if term.name == "all":
                if term.qualifier == "+":
                    raise _OpenError
                return
            found: list[SpfNetwork] = []
            try:
                await self._matched(term, domain, via, found)
            finally:  # what was read before it broke off
                found = [each for each in found if not _overlaps(each, refused)]
                (listed if term.qualifier == "+" else refused).extend(found)
        if read.redirect is not None and (target := self._target(read.redirect, domain)):
            await self.record(target, (*via, target), listed)

    async def _matched(self, term: Term, domain: str, via: tuple[str, ...], found: list[SpfNetwork]) -> None:
        """Add the networks that a mechanism matches."""
        if term.name in ("ip4", "ip6"):
            self._add(f"{term.arg}/{term.cidr4 if term.name == 'ip4' else term.cidr6}", via, found)
            return
        target = self._target(term, domain)
        if not target:
            return
        inside = via if target == domain else (*via, target)
        if term.name == "include":
            await self.record(target, inside, found)
        elif term.name == "a":
            await self._host(target, term, inside, found)
        elif term.name == "mx":
            hosts = (await self._asked(target, "MX"))[:_MOST_HOSTS]
            for host in filter(None, map(normalize, hosts)):
                await self._host(host, term, (*inside, host), found)

    def _target(self, term: Term, domain: str) -> str:
        """The name that a term asks about; empty if that depends on the message. Counts the look-up."""
        if term.name in _ASKING:
            self._lookups += 1
            if self._lookups > MOST_LOOKUPS:
                raise _EndsError
        name = term.arg or domain
        return "" if "%" in name or term.name in ("exists", "ptr") else normalize(name) or ""

    async def _host(self, host: str, term: Term, via: tuple[str, ...], found: list[SpfNetwork]) -> None:
        for record_type, bits in (("A", term.cidr4), ("AAAA", term.cidr6)):
            for address in await self._asked(host, record_type):
                self._add(address if bits is None else f"{address}/{bits}", via, found)

    def _add(self, text: str, via: tuple[str, ...], found: list[SpfNetwork]) -> None:
        network = ip_network(text, strict=False)
        if network.prefixlen < _WIDEST[network.version]:
            return
        self._found += 1
        if self._found > MOST_NETWORKS:
            raise _EndsError
        found.append(SpfNetwork(network, via))

    async def _asked(self, name: str, record_type: str) -> Sequence[str]:
        self._questions += 1
        if self._questions > MOST_QUESTIONS:
            raise _EndsError
        try:
            return await self._ask(name, record_type)
        except UnansweredError as error:
            raise _EndsError from error


def _overlaps(listed: SpfNetwork, refused: Sequence[SpfNetwork]) -> bool:
    """Whether a term before it refuses some of a network."""
    return any(
        listed.network.version == each.network.version and listed.network.overlaps(each.network) for each in refused
    )
