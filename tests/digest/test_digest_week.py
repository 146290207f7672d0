"""Which days a digest is about."""

from __future__ import annotations

from datetime import date

import pytest

from reports.digest.week import Week


def test_a_calendar_week_is_seven_days_from_monday() -> None:
    week = Week.of("2026-W47")
    assert (week.start, week.last_day, week.end) == (date(2026, 11, 16), date(2026, 11, 22), date(2026, 11, 23))
    assert (week.name, week.in_words) == ("2026-W47", "16 to 22 November 2026")
    assert week.before == Week.of("2026-W46")


@pytest.mark.parametrize(
    ("name", "words"),
    [("2026-W53", "28 December 2026 to 3 January 2027"), ("2026-W49", "30 November to 6 December 2026")],
)
def test_a_week_across_months_and_years_says_so(name: str, words: str) -> None:
    assert (Week.of(name).name, Week.of(name).in_words) == (name, words)


def test_other_seven_days_are_named_by_their_days() -> None:
    assert Week(date(2026, 11, 29)).name == "2026-11-22/2026-11-28"


@pytest.mark.parametrize("text", ["", "2026-47", "2026-W54", "2026-W00", "0000-W01", "9999-W53", "2026-W4x", "week"])
def test_what_is_no_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="week"):
        Week.of(text)


def test_the_time_range_of_dashboards_ends_where_the_next_week_begins() -> None:
    start, end = Week.of("1970-W02").in_milliseconds
    assert (start, end) == (4 * 86_400_000, 11 * 86_400_000)
