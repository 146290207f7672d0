"""Which of our domains a name in a report belongs to, fast for ten thousand domains.

A host belongs to a domain if it is the domain, lies below it, or is one of its MX hosts. One host may receive for many
domains, so the answer is a tuple, best first: the domain of that very name, then the nearest.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailposture.config import Config


class Ownership:
    """Looks names up among the configured domains and their MX hosts."""

    def __init__(self, config: Config) -> None:
        self._names = frozenset(domain.name for domain in config.domains)
        hosts: defaultdict[str, list[str]] = defaultdict(list)
        for domain in config.domains:
            for pattern in domain.mx:
                hosts[pattern].append(domain.name)
        self._domains_of_mx = {pattern: tuple(names) for pattern, names in hosts.items()}
        self.domains_of = lru_cache(maxsize=16_384)(self._domains_of)  # reports name the same few hosts again and again

    def owns(self, name: str) -> bool:
        """Whether a (normalized) name is one of our domains."""
        return name in self._names

    def _domains_of(self, host: str) -> tuple[str, ...]:
        """All our domains that a (normalized) policy domain or MX host may belong to, best first."""
        parent = host.partition(".")[2]
        found = dict.fromkeys(self._domains_of_mx.get(host, ()))
        if parent:
            found |= dict.fromkeys(self._domains_of_mx.get(f"*.{parent}", ()))
        name = host
        while name:
            if name in self._names:
                found[name] = None
            name = name.partition(".")[2]
        if len(found) < 2:
            return tuple(found)
        return tuple(sorted(found, key=lambda domain: (domain == host, len(domain)), reverse=True))
