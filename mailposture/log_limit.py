"""How many lines of one kind go to the log: untrusted senders cause them, and must not fill a disk with them."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class _Kind:
    began: float = float("-inf")
    written: int = 0
    left_out: int = 0


class LogLimit:
    """Lets `lines` lines of each kind through in `period` seconds, and counts the others. Kinds must be few."""

    def __init__(self, *, lines: int = 20, period: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._period = period
        self._clock = clock
        self._kinds: defaultdict[str, _Kind] = defaultdict(_Kind)

    def admit(self, kind: str) -> int | None:
        """Whether to write a line now: None if not, else how many of its kind were left out before it."""
        state, now = self._kinds[kind], self._clock()
        if now - state.began >= self._period:
            state.began, state.written = now, 0
        if state.written >= self._lines:
            state.left_out += 1
            return None
        state.written += 1
        left_out, state.left_out = state.left_out, 0
        return left_out
