"""What the gauges say about reports that are in the real engine."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import TODAY

if TYPE_CHECKING:
    from conftest import Gauges
    from sample_reports import Reports

pytestmark = pytest.mark.slow

HOUR, DAY = 3600, 86400


def test_every_sender_counts_with_its_own_newest_day(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", organization="Early", day=1, successful=100)
    reports.add("shop.example", organization="Early", day=2, successful=10, failures={"certificate-expired": 90})
    reports.add("shop.example", organization="Late", day=2, successful=40, failures={"certificate-expired": 60})
    found = gauges.read()
    assert found["tlsrpt_sessions shop.example latest successful"] == 140
    assert found["tlsrpt_sessions shop.example latest failed"] == 60
    assert found["tlsrpt_sessions shop.example period failed"] == 150
    assert found["tlsrpt_failure_sessions shop.example certificate"] == 60
    assert found["tlsrpt_failure_result_sessions shop.example certificate-expired critical"] == 60
    assert found["tlsrpt_reporters shop.example established yes"] == 2


def test_a_clean_report_ends_a_failure_and_its_series_stays_at_zero_for_the_window(
    reports: Reports, gauges: Gauges
) -> None:
    reports.add("shop.example", day=2, failures={"certificate-expired": 90})
    reports.add("shop.example", day=1, successful=100)
    found = gauges.read()
    assert found["tlsrpt_sessions shop.example latest failed"] == 0
    assert found["tlsrpt_failure_sessions shop.example certificate"] == 0


def test_a_sender_that_only_reports_failures_is_forgotten_after_three_silent_days(
    reports: Reports, gauges: Gauges
) -> None:
    reports.add("shop.example", organization="Terse", day=4, failures={"starttls-not-supported": 50})
    reports.add("shop.example", organization="Alpha", day=1, successful=100)
    found = gauges.read()
    assert found["tlsrpt_sessions shop.example latest failed"] == 0
    assert found["tlsrpt_sessions shop.example period failed"] == 50


def test_the_day_that_is_not_over_and_days_to_come_do_not_count(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=0, failures={"certificate-expired": 90})
    reports.add("shop.example", day=-3, failures={"certificate-expired": 90})
    assert gauges.read()["tlsrpt_sessions shop.example latest failed"] == 0
    assert gauges.read()["tlsrpt_sessions shop.example period failed"] == 0


def test_the_window_of_the_configuration_is_looked_back_over(reports: Reports, gauges: Gauges) -> None:
    for day in (1, 5, 9):
        reports.add("shop.example", day=day, successful=10)
    assert gauges.read(window=timedelta(days=1))["tlsrpt_sessions shop.example period successful"] == 10
    assert gauges.read(window=timedelta(days=7))["tlsrpt_sessions shop.example period successful"] == 20
    assert gauges.read(window=timedelta(days=14))["tlsrpt_sessions shop.example period successful"] == 30


def test_a_post_that_nothing_proves_moves_no_gauge_but_the_number_of_posters(reports: Reports, gauges: Gauges) -> None:
    before = gauges.read()
    reports.add("shop.example", day=1, trust="token", sts_mode="enforce", failures={"starttls-not-supported": 9999})
    posters = {"tlsrpt_reporters shop.example post no": 1, "tlsrpt_reporters shop.example post yes": 0}
    assert gauges.read() == before | posters


def test_sts_and_tlsa_of_the_same_sessions_are_not_added_up(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=1, successful=100, policy_type="sts")
    reports.add("shop.example", day=1, successful=100, policy_type="tlsa", sts_mode="", counts=False)
    assert gauges.read()["tlsrpt_sessions shop.example latest successful"] == 100


def test_failures_under_an_enforced_policy_are_refused_mail(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", organization="A", day=1, sts_mode="enforce", failures={"certificate-expired": 30})
    reports.add("shop.example", organization="B", day=1, sts_mode="testing", failures={"certificate-expired": 7})
    found = gauges.read()
    assert found["mta_sts_refused_sessions shop.example"] == 30
    assert found["mta_sts_refused_sessions other.example"] == 0


def test_a_policy_that_cannot_be_fetched_refuses_nothing(reports: Reports, gauges: Gauges) -> None:
    failures = {"sts-policy-fetch-error": 20, "certificate-expired": 30}
    reports.add("shop.example", day=1, sts_mode="enforce", failures=failures)
    assert gauges.read()["mta_sts_refused_sessions shop.example"] == 30


def test_a_sender_alone_in_losing_starttls_is_a_likely_downgrade(reports: Reports, gauges: Gauges) -> None:
    for day in (5, 6, 7):
        reports.add("shop.example", organization="Victim", day=day, successful=50)
    reports.add("shop.example", organization="Victim", day=1, failures={"starttls-not-supported": 8})
    reports.add("shop.example", organization="Other", day=1, successful=500)
    found = gauges.read()
    assert found["tlsrpt_suspected_downgrade_sessions shop.example likely"] == 8
    assert "tlsrpt_suspected_downgrade_sessions other.example likely" not in found


def test_a_sender_that_alone_stops_applying_our_policy_is_suspected(reports: Reports, gauges: Gauges) -> None:
    for day in (3, 4):
        reports.add("shop.example", organization="Victim", day=day, successful=50, sts_mode="enforce")
    for day in (1, 2):
        reports.add("other.example", organization="Victim", day=day, successful=50, sts_mode="enforce")
        reports.add("shop.example", organization="Other", day=day, successful=500, sts_mode="enforce")
        found = gauges.read()
        assert "mta_sts_suspected_downgrade_sessions shop.example likely" not in found
    reports.add("shop.example", organization="Victim", day=2, successful=9, policy_type="no-policy-found", sts_mode="")
    assert gauges.read()["mta_sts_suspected_downgrade_sessions shop.example possible"] == 9
    reports.add("shop.example", organization="Victim", day=1, successful=8, policy_type="no-policy-found", sts_mode="")
    found = gauges.read()
    assert found["mta_sts_suspected_downgrade_sessions shop.example likely"] == 8
    assert (
        found["mta_sts_suspected_downgrade_sessions shop.example possible"] == 0
    )  # it was, on a day before the newest
    assert "mta_sts_suspected_downgrade_sessions other.example likely" not in found


def test_a_likely_downgrade_stays_so_until_the_other_senders_have_reported_too(
    reports: Reports, gauges: Gauges
) -> None:
    for day in (5, 6, 7):
        reports.add("shop.example", organization="Victim", day=day, successful=50)
    reports.add("shop.example", organization="Other", day=2, successful=500)
    for day, number in ((2, 7), (1, 8)):
        reports.add("shop.example", organization="Victim", day=day, failures={"starttls-not-supported": number})
        assert gauges.read()["tlsrpt_suspected_downgrade_sessions shop.example likely"] == number
    reports.add("shop.example", organization="Victim", day=1, successful=1)
    reports.add("shop.example", organization="Other", day=1, successful=500, failures={"starttls-not-supported": 1})
    assert gauges.read()["tlsrpt_suspected_downgrade_sessions shop.example likely"] == 0


def test_a_server_is_newly_failing_from_the_domains_minimum_of_sessions_if_it_did_not_fail_before(
    reports: Reports, gauges: Gauges
) -> None:
    reports.add("shop.example", day=20, successful=100)
    reports.add("shop.example", day=10, failures={"certificate-expired": 50}, receiving_mx="mx1.shop.example")
    reports.add("shop.example", day=2, failures={"certificate-expired": 50}, receiving_mx="mx1.shop.example")
    assert gauges.read()["tlsrpt_newly_failing_receiving_servers shop.example"] == 0
    reports.add("shop.example", day=2, failures={"certificate-expired": 19}, receiving_mx="mx2.shop.example")
    assert gauges.read()["tlsrpt_newly_failing_receiving_servers shop.example"] == 0
    reports.add("shop.example", day=1, failures={"certificate-expired": 1}, receiving_mx="mx2.shop.example")
    assert gauges.read()["tlsrpt_newly_failing_receiving_servers shop.example"] == 1


def test_servers_of_a_domain_without_a_past_are_not_new(reports: Reports, gauges: Gauges) -> None:
    reports.add("other.example", day=1, failures={"certificate-expired": 50})
    assert gauges.read()["tlsrpt_newly_failing_receiving_servers other.example"] == 0


def test_last_report_day_arrival_and_delay_are_told_apart(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=2, successful=1, delay=timedelta(hours=10))
    reports.add("shop.example", day=3, successful=1, organization="Slow", delay=timedelta(hours=40))
    found = gauges.read()
    midnight = datetime.combine(TODAY, time(), UTC).timestamp()
    assert found["tlsrpt_last_report_day_timestamp_seconds shop.example"] == midnight - 2 * DAY
    assert found["tlsrpt_last_arrival_timestamp_seconds shop.example"] == midnight - 2 * DAY + 40 * HOUR
    assert found["tlsrpt_report_delay_seconds shop.example"] == 25 * HOUR
    assert not [name for name in found if "timestamp" in name and "other.example" in name]


def test_imported_files_are_not_called_late(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=2, successful=1, source="file", delay=timedelta(days=6))
    assert "tlsrpt_report_delay_seconds shop.example" not in gauges.read()
    reports.add("shop.example", day=2, successful=1, delay=timedelta(hours=8))
    assert gauges.read()["tlsrpt_report_delay_seconds shop.example"] == 8 * HOUR


def test_the_delay_is_unknown_when_no_report_is_about_the_window(reports: Reports, gauges: Gauges) -> None:
    reports.add("shop.example", day=30, successful=1)
    found = gauges.read()
    assert "tlsrpt_last_report_day_timestamp_seconds shop.example" in found
    assert "tlsrpt_report_delay_seconds shop.example" not in found


def test_reports_about_a_domain_that_left_the_configuration_are_not_exported(reports: Reports, gauges: Gauges) -> None:
    reports.add("gone.example", day=1, successful=5)
    assert not [name for name in gauges.read() if "gone.example" in name]
