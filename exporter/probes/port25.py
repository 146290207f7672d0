"""Whether connections by port 25 leave this network at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mailposture.checks.mx import MxProbe

_REMEMBERED = 86_400.0  # seconds since a server was last reached, after which one begins to doubt the way out
_SILENCE = frozenset({"timeout", "unreachable"})


class Port25:
    """Judges by the servers of all domains: most clouds silently drop what leaves by port 25.

    Who reached any server lately and finds one silent may accuse it; who never reached any may not. Later the way out
    is doubted only if several servers are silent: a single one may well be down for longer than a day.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._silent: set[str] = set()  # hosts, since one was last reached
        self._reached_at: float | None = None

    def note(self, probes: Iterable[MxProbe]) -> None:
        """Learn from what servers showed; a refusal too comes from the server."""
        for probe in probes:
            if _is_silent(probe):
                self._silent.add(probe.host)
            else:
                self._silent.clear()
                self._reached_at = self._now()

    @property
    def blocked(self) -> bool:
        """Whether it is likelier that we cannot leave by port 25 than that every server is down."""
        if self._reached_at is None:
            return bool(self._silent)
        return len(self._silent) > 1 and self._now() - self._reached_at > _REMEMBERED

    def hides(self, probe: MxProbe) -> bool:
        """Whether a server's silence is likelier ours."""
        return self.blocked and _is_silent(probe)


def _is_silent(probe: MxProbe) -> bool:
    return not probe.connected and probe.reason in _SILENCE
