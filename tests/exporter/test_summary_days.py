"""`mailposture summary` counts complete report days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine import TODAY

from reports.tls.summary import summarize

if TYPE_CHECKING:
    from engine import Storage
    from sample_reports import Reports

pytestmark = pytest.mark.slow

DAYS = 7


def test_summary_counts_complete_days(two_domains: Storage, reports: Reports) -> None:
    """Every day has a number of sessions that is a power of two, so that a sum says which days it is of."""
    for day in range(2 * DAYS + 2):
        reports.add("shop.example", day=day, successful=2**day, failures={"certificate-expired": 2**day})

    (summary,) = summarize(two_domains.client(), days=DAYS, domain="shop.example")

    complete_days = sum(2**day for day in range(1, DAYS + 1))
    assert (summary.successful_sessions, summary.failed_sessions) == (complete_days, complete_days)
    assert [share.sessions for share in summary.categories] == [complete_days]
    assert [share.sessions for share in summary.senders] == [complete_days]
    assert summary.last_report_day == TODAY


def test_trend_compares_with_as_many_days_before(two_domains: Storage, reports: Reports) -> None:
    reports.add("shop.example", day=1, successful=1)
    reports.add("shop.example", day=DAYS, successful=1)
    reports.add("shop.example", day=DAYS + 1, successful=1, failures={"certificate-expired": 1})
    reports.add("shop.example", day=2 * DAYS, successful=1, failures={"certificate-expired": 1})
    reports.add("shop.example", day=2 * DAYS + 1, failures={"certificate-expired": 100})

    (summary,) = summarize(two_domains.client(), days=DAYS, domain="shop.example")

    assert summary.success_rate == 1
    assert summary.trend == pytest.approx(0.5)
