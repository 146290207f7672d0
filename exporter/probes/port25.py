"""Whether connections by port 25 leave this network at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mailposture.checks.mx import MxProbe

_REMEMBERED = 86_400.0  # seconds since a server was last reached, after which one begins to doubt the way out
_SILENCE = frozenset({"timeout", "unreachable"})


class Port25:
    """Judges by the servers of all domains: most clouds silently drop what leaves by port 25.

    Who reached any server lately and finds one silent may accuse it; who never reached any may not.
    """

    def __init__(self) -> None:
        self._tried = False
        self._reached_at: float | None = None

    def note(self, probes: Iterable[MxProbe]) -> None:
        """Learn from what servers showed; a refusal too comes from the server."""
        for probe in probes:
            self._tried = True
            if probe.connected or probe.reason not in _SILENCE:
                self._reached_at = time.monotonic()

    @property
    def blocked(self) -> bool:
        """Whether servers were tried, and none was reached for a day."""
        return self._tried and (self._reached_at is None or time.monotonic() - self._reached_at > _REMEMBERED)

    def hides(self, probe: MxProbe) -> bool:
        """Whether a server's silence is likelier ours."""
        return self.blocked and not probe.connected and probe.reason in _SILENCE
