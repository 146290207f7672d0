"""Absence and rates are judged by the domain's own rhythm."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import TODAY, days_ago, set_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine import Storage
    from sample_reports import Reports
    from two_domains import Attention, Gauges

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
MISSED = "mailposture_missed_reports_seconds"
MONDAY = TODAY - timedelta(days=TODAY.weekday() + 21)  # some weeks ago, so that the days after it are past too


@pytest.fixture
def as_of(two_domains: Storage) -> Iterator[Callable[[date, int], None]]:
    """Make it an hour of a day for the database."""

    def move(day: date, hour: int) -> None:
        set_clock(two_domains.client(), two_domains.config, datetime.combine(day, time(hour), UTC))

    yield move
    set_clock(two_domains.client(), two_domains.config)


def report_on(reports: Reports, *days: date) -> None:
    for day in days:
        reports.add(DOMAIN, day=(TODAY - day).days, successful=100, sts_mode="enforce")
    reports.storage.accepted(DOMAIN, "alpha.example", "dkim", MONDAY - timedelta(days=90), TODAY)


def workdays(before: date, *, weeks: int) -> list[date]:
    days = (before - timedelta(days=number) for number in range(1, 7 * weeks + 1))
    return [day for day in days if day.weekday() < 5]


def test_a_weekend_without_mail_is_no_silence(
    reports: Reports, attention: Attention, as_of: Callable[[date, int], None]
) -> None:
    """Friday's report came on Saturday, Monday's comes on Tuesday at ten."""
    report_on(reports, *workdays(MONDAY, weeks=6))
    for day, hour in ((-1, 23), (0, 12), (1, 5), (1, 9)):
        as_of(MONDAY + timedelta(days=day), hour)
        assert "no-reports" not in attention.causes(), (day, hour)


def test_a_long_weekend_is_none_either(
    reports: Reports, attention: Attention, gauges: Gauges, as_of: Callable[[date, int], None]
) -> None:
    """Friday was a holiday."""
    report_on(reports, *[day for day in workdays(MONDAY, weeks=6) if day != MONDAY - timedelta(days=3)])
    as_of(MONDAY + timedelta(days=1), 5)
    assert "no-reports" not in attention.causes()
    assert gauges.read()[MISSED] < 3 * 86400  # MailpostureNothingArrives


def test_silence_on_workdays_is_one(
    reports: Reports, attention: Attention, gauges: Gauges, as_of: Callable[[date, int], None]
) -> None:
    report_on(reports, *workdays(MONDAY, weeks=6))
    as_of(MONDAY + timedelta(days=2), 23)
    assert "no-reports" not in attention.causes()
    as_of(MONDAY + timedelta(days=3), 1)
    row = attention.read()["no-reports", ""]
    assert (row.severity, row.since, row.affected) == ("warning", MONDAY - timedelta(days=2), 3)
    assert gauges.read()[MISSED] > 3 * 86400


def dmarc_reported(reports: Reports, *days: date) -> None:
    for day in days:
        row = {"policy_domains": ["other.example"], "published_domain": "other.example", "day": day}
        reports.storage.put("dmarc_reports", {**row, "report_key": day.toordinal()})
    reports.storage.accepted(
        "other.example", "sender-one.example", "dkim", MONDAY - timedelta(days=90), TODAY, kind="dmarc"
    )


def test_something_arrives_as_long_as_reports_of_any_kind_do(
    reports: Reports, attention: Attention, gauges: Gauges, as_of: Callable[[date, int], None]
) -> None:
    daily = [MONDAY - timedelta(days=number) for number in range(1, 40)]
    dmarc_reported(reports, *daily)
    as_of(MONDAY + timedelta(days=1), 12)
    assert gauges.read()[MISSED] == 1.5 * 86400  # of a domain with DMARC reports alone
    as_of(MONDAY + timedelta(days=4), 12)
    assert gauges.read()[MISSED] == 4.5 * 86400
    assert attention.causes("other.example")["dmarc-no-reports"] == "warning"
    report_on(reports, *daily, *(MONDAY + timedelta(days=number) for number in range(4)))
    assert gauges.read()[MISSED] == 0.5 * 86400
    assert attention.causes("other.example")["dmarc-no-reports"] == "warning"


def test_a_domain_with_daily_mail_is_silent_after_its_threshold(
    reports: Reports, attention: Attention, as_of: Callable[[date, int], None]
) -> None:
    report_on(reports, *(MONDAY - timedelta(days=number) for number in range(1, 40)))
    as_of(MONDAY + timedelta(days=2), 23)
    assert "no-reports" not in attention.causes()
    as_of(MONDAY + timedelta(days=3), 1)
    assert attention.causes() == {"no-reports": "warning"}


def test_a_domain_with_rare_mail_is_waited_for(
    reports: Reports, attention: Attention, as_of: Callable[[date, int], None]
) -> None:
    """A report every fourth day."""
    report_on(reports, *(MONDAY - timedelta(days=4 * number + 1) for number in range(12)))
    as_of(MONDAY + timedelta(days=8), 12)
    assert "no-reports" not in attention.causes()
    as_of(MONDAY + timedelta(days=14), 12)
    assert attention.causes() == {"no-reports": "warning"}


# ── A domain with two sessions a day ──────────────────────────────────────────────────────────────────────────────────


def test_a_domain_with_little_mail_is_judged_over_more_days(reports: Reports, attention: Attention) -> None:
    for day in range(1, 10):
        reports.add(DOMAIN, day=day, failures={"certificate-expired": 2})
    assert attention.causes() == {}
    reports.add(DOMAIN, day=10, failures={"certificate-expired": 2})
    row = attention.read()["certificate", "mx1.shop.example"]
    assert (row.severity, row.affected, row.of, row.since) == ("critical", 20, 20, days_ago(10))


def test_a_clean_day_ends_it_there_too(reports: Reports, attention: Attention) -> None:
    for day in range(2, 20):
        reports.add(DOMAIN, day=day, failures={"certificate-expired": 2})
    assert attention.causes() == {"certificate": "critical"}
    reports.add(DOMAIN, day=1, successful=2)
    assert attention.causes() == {}


@pytest.mark.parametrize(("day", "affected"), [(7, 30), (8, 0)])
def test_a_sender_that_is_silent_for_a_week_counts_no_more_there(
    reports: Reports, attention: Attention, day: int, affected: int
) -> None:
    reports.add(DOMAIN, day=day, failures={"certificate-expired": 30})
    assert attention.affected("certificate") == affected


def test_many_days_with_few_failures_and_others_with_none_break_no_question(
    reports: Reports, attention: Attention
) -> None:
    for day in range(1, 28):
        reports.add(DOMAIN, day=day, failures={"certificate-expired": 1, "validation-failure": 1})
        reports.add("other.example", organization="Beta", day=day, successful=1, failures={"dane-required": 1})
    assert attention.causes() == {"certificate": "critical", "other": "warning"}
    assert attention.causes("other.example") == {"dane": "critical"}


def test_a_policy_in_testing_for_four_weeks_is_worth_knowing(reports: Reports, attention: Attention) -> None:
    for day in range(1, 28):
        reports.add(DOMAIN, day=day, successful=100)
    assert attention.causes() == {}
    reports.add(DOMAIN, day=28, successful=100)
    assert attention.causes() == {"policy-testing-long": "info"}
    assert attention.read()["policy-testing-long", ""].since == days_ago(28)
    reports.add(DOMAIN, day=20, successful=100, sts_mode="enforce")
    assert attention.causes() == {}
