"""What the gauges say about reports that are in the real engine."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import TODAY

if TYPE_CHECKING:
    from sample_reports import Reports
    from two_domains import Gauges

pytestmark = pytest.mark.slow

HOUR, DAY = 3600, 86400


def test_attention_counts_the_servers_of_each_cause(reports: Reports, gauges: Gauges) -> None:
    for number in (1, 2):
        mx = f"mx{number}.shop.example"
        failures = {"certificate-expired": 30}
        reports.add("shop.example", organization=f"S{number}", day=1, failures=failures, receiving_mx=mx)
    reports.add("other.example", day=1, successful=5)
    found = gauges.read()
    assert {name.strip(): number for name, number in found.items() if name.startswith("mailposture_attention")} == {
        "mailposture_attention shop.example tls certificate critical": 2
    }


def test_sessions_are_those_of_the_newest_reports(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", organization="Early", day=1, successful=100)
    reports.add("shop.example", organization="Early", day=2, successful=10, failures={"certificate-expired": 90})
    reports.add("shop.example", organization="Late", day=2, successful=40, failures={"certificate-expired": 60})
    found = gauges.read()
    assert found["tlsrpt_sessions shop.example successful"] == 140
    assert found["tlsrpt_sessions shop.example failed"] == 60
    assert found["tlsrpt_sessions other.example failed"] == 0
    assert found["tlsrpt_reporters shop.example established yes"] == 2


def test_a_post_that_nothing_proves_moves_no_gauge_but_the_number_of_posters(reports: Reports, gauges: Gauges) -> None:
    before = gauges.read()
    reports.add("shop.example", day=1, trust="token", sts_mode="enforce", failures={"starttls-not-supported": 9999})
    posters = {"tlsrpt_reporters shop.example post no": 1, "tlsrpt_reporters shop.example post yes": 0}
    assert gauges.read() == before | posters


def test_sts_and_tlsa_of_the_same_sessions_are_not_added_up(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=1, successful=100, policy_type="sts")
    reports.add("shop.example", day=1, successful=100, policy_type="tlsa", sts_mode="", counts=False)
    assert gauges.read()["tlsrpt_sessions shop.example successful"] == 100


def test_last_report_day_and_arrival_are_distinguished(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=2, successful=1, delay=timedelta(hours=10))
    found = gauges.read()
    midnight = datetime.combine(TODAY, time(), UTC).timestamp()
    assert found["tlsrpt_last_report_day_timestamp_seconds shop.example"] == midnight - 2 * DAY
    assert found["tlsrpt_last_arrival_timestamp_seconds shop.example"] == midnight
    assert not [name for name in found if "timestamp" in name and "other.example" in name]


def test_reports_about_a_domain_that_left_the_configuration_are_not_exported(reports: Reports, gauges: Gauges) -> None:
    reports.add("gone.example", day=1, successful=5)
    assert not [name for name in gauges.read() if "gone.example" in name]
