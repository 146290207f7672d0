"""How many lines a log takes of one kind: whoever can cause an event at will must not fill a disk with it."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, WrappedLogger


@dataclass(slots=True)
class _Event:
    began: float = float("-inf")
    written: int = 0
    left_out: int = 0


class LogLimit:
    """A processor of structlog: lets `lines` lines of each event through in `period` seconds.

    The first line after others were left out says how many, as `lines_left_out`. Events are constants in our code, so
    they are few.
    """

    def __init__(self, *, lines: int = 60, period: float = 300.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._period = period
        self._clock = clock
        self._events: defaultdict[str, _Event] = defaultdict(_Event)

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        event, now = self._events[str(line.get("event"))], self._clock()
        if now - event.began >= self._period:
            event.began, event.written = now, 0
        if event.written >= self._lines:
            event.left_out += 1
            raise structlog.DropEvent
        event.written += 1
        if event.left_out:
            line["lines_left_out"], event.left_out = event.left_out, 0
        return line
