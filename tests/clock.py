"""The day that tests take for today: the real one, or that of pytest's option --today.

Set once, before any test module is imported, so that `from clock import NOW, TODAY` is right everywhere.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

_NOON = time(12)

TODAY = datetime.now(UTC).date()
NOW = datetime.combine(TODAY, _NOON, UTC)  # whatever the time is: a test may look back for some hours, on the same day


def set_today(day: date) -> None:
    """Make it noon (UTC) of a day."""
    global TODAY, NOW
    TODAY, NOW = day, datetime.combine(day, _NOON, UTC)
