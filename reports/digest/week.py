"""The seven report days that a digest is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

DAYS: Final = 7
_ISO_WEEK: Final = re.compile(r"([0-9]{4})-W([0-9]{2})")


@dataclass(frozen=True, slots=True)
class Week:
    """Seven complete report days (UTC), those before `end`: a calendar week where that is a Monday."""

    end: date

    @classmethod
    def of(cls, text: str) -> Week:
        """The calendar week that is written `2026-W47` (ISO 8601). Raises ValueError."""
        written = _ISO_WEEK.fullmatch(text)
        if written is None:
            raise ValueError(f"{text!r} is not a week such as 2026-W47")
        year, number = int(written[1]), int(written[2])
        try:
            return cls(date.fromisocalendar(year, number, 1) + timedelta(days=DAYS))
        except (ValueError, OverflowError):
            raise ValueError(f"there is no week {number} in {year}") from None

    @property
    def start(self) -> date:
        return self.end - timedelta(days=DAYS)

    @property
    def last_day(self) -> date:
        return self.end - timedelta(days=1)

    @property
    def days(self) -> tuple[date, ...]:
        return tuple(self.start + timedelta(days=number) for number in range(DAYS))

    @property
    def before(self) -> Week:
        """The week before."""
        return Week(self.start)

    @property
    def name(self) -> str:
        """The calendar week where it is one (2026-W47); else the days."""
        if self.start.isoweekday() == 1:
            return f"{self.start:%G-W%V}"
        return f"{self.start}/{self.last_day}"

    @property
    def in_words(self) -> str:
        """As in `23 to 29 November 2026`."""
        first, last = self.start, self.last_day
        year = f" {first.year}" if first.year != last.year else ""
        month = f" {first:%B}" if first.month != last.month else ""
        return f"{first.day}{month}{year} to {last.day} {last:%B} {last.year}"

    @property
    def in_milliseconds(self) -> tuple[int, int]:
        """As a time range of a dashboard, whose panels count the complete days before its end."""
        first, last = (datetime.combine(day, time(), UTC) for day in (self.start, self.end))
        return int(first.timestamp() * 1000), int(last.timestamp() * 1000)
