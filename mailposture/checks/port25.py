"""Whether connections by port 25 leave this network at all."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from mailposture.checks.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mailposture.checks.mx import MxProbe

_REMEMBERED = 86_400.0  # seconds since a server was last reached, after which one begins to doubt the way out
_SILENCE = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE})


class _Way(NamedTuple):
    """A way out that is open or closed apart from others: many networks lack IPv6, clouds close what leaves them."""

    version: int
    public: bool


@dataclass(slots=True)
class _Seen:
    """What was met on one way."""

    silent: set[str] = field(default_factory=set)  # hosts, since one was last reached
    reached_at: float | None = None


class Port25:
    """Judges by the servers of all domains: most clouds silently drop what leaves by port 25.

    Who reached any server lately and finds one silent may accuse it; who never reached any may not. Later the way out
    is doubted only if several servers are silent: a single one may well be down for longer than a day. IPv4 and IPv6
    are judged apart, and a server in the own network proves nothing about those outside.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._ways: defaultdict[_Way, _Seen] = defaultdict(_Seen)

    def note(self, probes: Iterable[MxProbe]) -> None:
        """Learn from what servers showed; a refusal too comes from the server."""
        for probe in probes:
            way = _way(probe)
            if _is_silent(probe):
                self._ways[way].silent.add(probe.host)
                continue
            for proven in {way, way._replace(public=False)}:
                self._ways[proven] = _Seen(reached_at=self._now())

    @property
    def blocked(self) -> bool:
        """Whether it is likelier that we cannot leave by port 25 at all than that every server is down."""
        outside = [seen for way, seen in self._ways.items() if way.public]
        tried = outside or list(self._ways.values())
        return bool(tried) and all(map(self._is_blocked, tried))

    def hides(self, probe: MxProbe) -> bool:
        """Whether a server's silence is likelier ours than its own."""
        return _is_silent(probe) and self._is_blocked(self._ways[_way(probe)])

    def _is_blocked(self, seen: _Seen) -> bool:
        if seen.reached_at is None:
            return bool(seen.silent)
        return len(seen.silent) > 1 and self._now() - seen.reached_at > _REMEMBERED


def _way(probe: MxProbe) -> _Way:
    address = ip_address(probe.address)
    return _Way(address.version, address.is_global)


def _is_silent(probe: MxProbe) -> bool:
    return not probe.connected and probe.reason in _SILENCE
