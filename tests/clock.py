"""The day that tests take for today: the real one, or that of pytest's option --today.

Set once, before any test module is imported, so that `from clock import NOW, TODAY` is right everywhere.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

NOW = datetime.now(UTC)
TODAY = NOW.date()


def set_today(day: date) -> None:
    """Make it noon (UTC) of a day."""
    global NOW, TODAY
    NOW, TODAY = datetime.combine(day, time(12), UTC), day
