"""Which of our domains a name in a report belongs to, fast for ten thousand domains.

A host belongs to a domain if it is the domain, lies below it, or is one of its MX hosts. One host may receive for many
domains: the best is the domain of that very name, then the longest.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailposture.config.model import Config


@dataclass(frozen=True, slots=True)
class _Users:
    """The domains that have a host or a pattern among their MX hosts; shared by all answers that have to do with it."""

    longest: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Owners:
    """The domains of ours that a name may belong to. Of constant size, however many they are."""

    best: str = ""  # empty if there is none
    several: bool = False
    _above: tuple[str, ...] = ()  # the name itself and those above it that are ours
    _users: tuple[_Users, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.best)

    def __contains__(self, domain: str) -> bool:
        return domain in self._above or any(domain in users.names for users in self._users)


class Ownership:
    """Looks names up among the configured domains and their MX hosts."""

    def __init__(self, config: Config) -> None:
        self._names = frozenset(domain.name for domain in config.domains)
        hosts: defaultdict[str, list[str]] = defaultdict(list)
        for domain in config.domains:
            for pattern in domain.mx:
                hosts[pattern].append(domain.name)
        self._users_of_mx = {pattern: _Users(max(names, key=len), frozenset(names)) for pattern, names in hosts.items()}
        self.owners_of = lru_cache(maxsize=16_384)(self._owners_of)  # reports name the same few hosts again and again

    def domain_above(self, name: str) -> str:
        """The domain of ours that a (normalized) name is or lies below, the longest of several; or empty."""
        return next(self._above(name), "")

    def _owners_of(self, host: str) -> Owners:
        """The domains of ours that a (normalized) policy domain or MX host may belong to."""
        parent = host.partition(".")[2]
        patterns = (host, f"*.{parent}") if parent else (host,)
        users = tuple(filter(None, map(self._users_of_mx.get, patterns)))
        above = tuple(self._above(host))
        if not (users or above):
            return Owners()
        candidates = [*(each.longest for each in users), *above]
        best = host if host in above else max(candidates, key=len)
        several = len({*candidates}) > 1 or any(len(each.names) > 1 for each in users)
        return Owners(best, several, above, users)

    def _above(self, host: str) -> Iterator[str]:
        name = host
        while name:
            if name in self._names:
                yield name
            name = name.partition(".")[2]
