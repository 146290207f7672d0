"""When to try again what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MAIL_WAITS: Final = (60.0, 6 * 3600.0)  # seconds, for what is refused of single mails: the first, and the longest
_LONGEST_PATIENCE: Final = 3600.0  # seconds, where a server asks for more


class Backoff:
    """Waits twice as long after each failure."""

    def __init__(self, first: float, longest: float, *, clock: Callable[[], float]) -> None:
        """In seconds."""
        self._first, self._longest, self._clock = first, longest, clock
        self._wait = 0.0
        self._until = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self._wait > 0

    @property
    def left(self) -> float:
        """Seconds until the next try; 0 if it is due."""
        return max(0.0, self._until - self._clock()) if self.failing else 0.0

    def failed(self, *, at_least: float = 0.0) -> float:
        """Returns how long to wait; `at_least` so many seconds, up to an hour."""
        self._wait = min(self._wait * 2, self._longest) if self.failing else self._first
        wait = max(self._wait, min(at_least, _LONGEST_PATIENCE))
        self._until = self._clock() + wait
        return wait

    def succeeded(self) -> None:
        self._wait = 0.0
