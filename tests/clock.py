"""The day that tests take for today: the real one, or that of pytest's option --today.

Set once, before any test module is imported, so that `from clock import NOW, TODAY` is right everywhere, and the same
for all workers and until the run ends, though midnight may pass meanwhile.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

ODD_DAYS = (
    date(2026, 3, 29),  # daylight saving begins in Europe
    date(2026, 10, 25),  # and ends
    date(2026, 11, 1),  # and ends in the US
    date(2026, 11, 28),  # a Saturday
    date(2026, 11, 30),  # a Monday
    date(2027, 1, 1),
    date(2027, 2, 28),
    date(2028, 2, 29),
)
"""For tests that are quick enough to run for each; the others run for another day with --today."""

_NOON = time(12)

REAL_TODAY = datetime.now(UTC).date()
"""For tests of programs that keep the real time, by which it may be a day later meanwhile (pytest's option --began)."""

TODAY = REAL_TODAY
NOW = datetime.combine(TODAY, _NOON, UTC)  # whatever the time is: a test may look back for some hours, on the same day


def set_today(day: date, *, began: date) -> None:
    """Make it noon (UTC) of a day, in a run that began on another."""
    global TODAY, NOW, REAL_TODAY
    TODAY, NOW, REAL_TODAY = day, datetime.combine(day, _NOON, UTC), began
