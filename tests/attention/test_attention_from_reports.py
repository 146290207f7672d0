"""What needs attention of what reports say: thresholds, and whose newest report day counts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import days_ago

from reports.envelope import Source

if TYPE_CHECKING:
    from sample_reports import Reports
    from two_domains import Attention

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
MX1, MX2 = "mx1.shop.example", "mx2.shop.example"


# ── Failures and thresholds: 5 % of the sessions and 20 of them; at other.example 5 are enough ───────────────────────


def test_a_cause_needs_attention_above_the_share_and_from_the_minimum_of_the_domain(
    reports: Reports, attention: Attention
) -> None:
    reports.add(DOMAIN, day=1, successful=950, failures={"certificate-expired": 50})
    assert attention.causes() == {}
    reports.add(DOMAIN, organization="Other", day=1, successful=9, failures={"certificate-expired": 5})
    assert attention.causes() == {"certificate": "critical"}
    (row,) = attention.read().values()
    assert (row.affected, row.of, row.since) == (55, 1014, days_ago(1))


def test_few_failures_need_no_attention_whatever_their_share(reports: Reports, attention: Attention) -> None:
    for domain, failed in ((DOMAIN, 19), ("other.example", 4)):
        reports.add(domain, day=1, failures={"certificate-expired": failed})
        assert attention.causes(domain) == {}
    for domain, failed in ((DOMAIN, 20), ("other.example", 5)):
        reports.add(domain, day=1, organization="Other", failures={"certificate-expired": 1})
        assert attention.affected("certificate", domain) == failed


def test_every_sender_counts_with_its_own_newest_day(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, organization="Early", day=1, successful=100)
    reports.add(DOMAIN, organization="Early", day=2, successful=10, failures={"certificate-expired": 90})
    reports.add(DOMAIN, organization="Late", day=2, successful=40, failures={"certificate-expired": 60})
    (row,) = attention.read().values()
    assert (row.affected, row.of) == (60, 200)


def test_a_clean_report_ends_a_failure(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, day=2, failures={"certificate-expired": 90})
    assert attention.causes() == {"certificate": "critical"}
    reports.add(DOMAIN, day=1, successful=100)
    assert attention.causes() == {}


def test_a_sender_that_only_reports_failures_is_forgotten_after_three_silent_days(
    reports: Reports, attention: Attention
) -> None:
    reports.add(DOMAIN, organization="Terse", day=4, failures={"starttls-not-supported": 50})
    reports.add(DOMAIN, organization="Alpha", day=1, successful=100)
    assert attention.causes() == {}


def test_the_day_that_is_not_over_and_days_to_come_do_not_count(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, day=0, failures={"certificate-expired": 90})
    reports.add(DOMAIN, day=-3, failures={"certificate-expired": 90})
    assert attention.causes() == {}


def test_subjects_are_the_servers_that_fail_most(reports: Reports, attention: Attention) -> None:
    for organization, mx, failed in (("A", MX1, 100), ("B", MX2, 10), ("C", "mx3.shop.example", 9)):
        reports.add(DOMAIN, organization=organization, day=1, failures={"certificate-expired": failed}, receiving_mx=mx)
    assert {subject: row.affected for (_, subject), row in attention.read().items()} == {MX1: 100, MX2: 10}


def test_a_failure_lasts_since_the_first_day_of_its_run(reports: Reports, attention: Attention) -> None:
    for day in (20, 19, 6, 5, 3, 1):
        reports.add(DOMAIN, day=day, failures={"certificate-expired": 50})
    reports.add(DOMAIN, organization="Other", day=10, failures={"certificate-expired": 2})
    (row,) = attention.read().values()
    assert row.since == days_ago(6)


# ── Several causes ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_failures_that_add_up_are_one_cause_while_no_single_one_is(reports: Reports, attention: Attention) -> None:
    several = {"certificate-expired": 30, "validation-failure": 30}
    reports.add(DOMAIN, day=1, successful=940, failures=several)
    assert attention.causes() == {"failure-ratio": "warning"}
    reports.add(DOMAIN, organization="Other", day=1, successful=1, failures={"certificate-expired": 40})
    assert attention.causes() == {"certificate": "critical"}


def test_failures_without_details_are_seen(reports: Reports, attention: Attention) -> None:
    reports.storage.put("tls_policies", {"policy_domain": DOMAIN, "sts_mode": "testing", "failed_sessions": 30})
    assert attention.causes() == {"failure-ratio": "warning"}


def test_mail_is_refused_under_an_enforced_policy_only(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, organization="B", day=1, sts_mode="testing", failures={"certificate-expired": 30})
    assert "mail-refused" not in attention.causes()
    reports.add(DOMAIN, organization="A", day=1, sts_mode="enforce", failures={"certificate-expired": 30})
    assert attention.read()["mail-refused", ""].affected == 30
    assert attention.causes() == {"mail-refused": "critical", "certificate": "critical"}


def test_refused_mail_needs_no_share(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, day=1, successful=10_000, sts_mode="enforce", failures={"certificate-expired": 20})
    assert attention.causes() == {"mail-refused": "critical"}


def test_a_policy_that_cannot_be_fetched_refuses_nothing(reports: Reports, attention: Attention) -> None:
    failures = {"sts-policy-fetch-error": 20, "certificate-expired": 30}
    reports.add(DOMAIN, day=1, sts_mode="enforce", failures=failures)
    assert attention.affected("mail-refused") == 30


def test_mail_is_refused_too_where_dane_counts_the_sessions(reports: Reports, attention: Attention) -> None:
    failures = {"sts-policy-fetch-error": 20, "certificate-expired": 30}
    reports.add(DOMAIN, day=1, sts_mode="enforce", failures=failures, counts=False)
    reports.add(DOMAIN, day=1, successful=50, policy_type="tlsa", sts_mode="")
    assert attention.causes() == {"mail-refused": "critical"}
    assert attention.affected("mail-refused") == 30


def test_a_server_that_begins_to_fail_is_named_from_the_minimum_of_sessions(
    reports: Reports, attention: Attention
) -> None:
    reports.add(DOMAIN, organization="Steady", day=1, successful=100_000)
    reports.add(DOMAIN, day=20, successful=100)
    reports.add(DOMAIN, day=10, failures={"certificate-expired": 50}, receiving_mx=MX1)
    reports.add(DOMAIN, day=2, failures={"certificate-expired": 50}, receiving_mx=MX1)
    reports.add(DOMAIN, day=2, failures={"certificate-expired": 19}, receiving_mx=MX2)
    assert attention.causes() == {}
    reports.add(DOMAIN, day=1, failures={"certificate-expired": 1}, receiving_mx=MX2)
    assert list(attention.read()) == [("server-newly-failing", MX2)]


def test_a_server_that_begins_to_fail_is_not_named_twice(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, day=20, successful=100)
    reports.add(DOMAIN, day=1, failures={"certificate-expired": 50}, receiving_mx=MX1)
    assert list(attention.read()) == [("certificate", MX1)]


def test_servers_of_a_domain_without_a_past_are_not_new(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, day=1, successful=10_000, failures={"certificate-expired": 50})
    assert attention.causes() == {}


# ── Suspicions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_likely_downgrade_is_one_cause(reports: Reports, attention: Attention) -> None:
    for day in (5, 6, 7):
        reports.add(DOMAIN, organization="Victim", day=day, successful=50)
    reports.add(DOMAIN, organization="Victim", day=1, failures={"starttls-not-supported": 60})
    reports.add(DOMAIN, organization="Other", day=1, successful=500)
    assert attention.causes() == {"suspected-downgrade": "critical"}
    assert attention.read()["suspected-downgrade", "victim.example"].affected == 60
    assert attention.causes("other.example") == {}


def test_a_possible_downgrade_is_a_warning_unless_the_servers_are_what_fails(
    reports: Reports, attention: Attention
) -> None:
    for day in (5, 6, 7):
        reports.add(DOMAIN, organization="Lonely", day=day, successful=50)
    reports.add(DOMAIN, organization="Lonely", day=1, successful=20, failures={"starttls-not-supported": 8})
    assert attention.causes() == {"suspected-downgrade": "warning"}
    reports.add(DOMAIN, organization="Lonely", day=1, failures={"starttls-not-supported": 80})
    assert attention.causes() == {"starttls-not-supported": "critical"}


def test_a_likely_downgrade_stays_so_until_the_other_senders_have_reported_too(
    reports: Reports, attention: Attention
) -> None:
    for day in (5, 6, 7):
        reports.add(DOMAIN, organization="Victim", day=day, successful=50)
    reports.add(DOMAIN, organization="Other", day=2, successful=500)
    for day, number in ((2, 7), (1, 8)):
        reports.add(DOMAIN, organization="Victim", day=day, failures={"starttls-not-supported": number})
        row = attention.read()["suspected-downgrade", "victim.example"]
        assert (row.severity, row.affected, row.since) == ("critical", number, days_ago(2))
    reports.add(DOMAIN, organization="Victim", day=1, successful=1)
    reports.add(DOMAIN, organization="Other", day=1, successful=500, failures={"starttls-not-supported": 1})
    assert attention.causes() == {}


def test_a_sender_that_alone_stops_applying_our_policy_is_suspected(reports: Reports, attention: Attention) -> None:
    for day in (3, 4):
        reports.add(DOMAIN, organization="Victim", day=day, successful=50, sts_mode="enforce")
    for day in (1, 2):
        reports.add("other.example", organization="Victim", day=day, successful=50, sts_mode="enforce")
        reports.add(DOMAIN, organization="Other", day=day, successful=500, sts_mode="enforce")
    assert attention.causes() == {}
    reports.add(DOMAIN, organization="Victim", day=2, successful=9, policy_type="no-policy-found", sts_mode="")
    row = attention.read()["mta-sts-not-applied", "victim.example"]
    assert (row.severity, row.affected) == ("info", 9)
    reports.add(DOMAIN, organization="Victim", day=1, successful=8, policy_type="no-policy-found", sts_mode="")
    row = attention.read()["mta-sts-not-applied", "victim.example"]
    assert (row.severity, row.affected, row.since) == ("warning", 8, days_ago(2))
    assert attention.causes("other.example") == {}


# ── One reporter, proven in two ways ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("earlier", "later"), [("dkim", "authserv"), ("authserv", "dkim")])
def test_a_reporter_has_one_last_word_in_whatever_way_it_is_proven(
    reports: Reports, attention: Attention, earlier: str, later: str
) -> None:
    reports.add(DOMAIN, day=2, failures={"certificate-expired": 90}, trust=earlier)
    assert attention.causes() == {"certificate": "critical"}
    reports.add(DOMAIN, day=1, successful=100, trust=later)
    assert attention.causes() == {}


def test_what_one_who_is_not_proven_says_is_not_the_last_word_of_one_who_is(
    reports: Reports, attention: Attention
) -> None:
    reports.add(DOMAIN, day=2, failures={"certificate-expired": 90}, trust="dkim")
    reports.add(DOMAIN, day=1, successful=100, trust="mailbox")
    assert attention.causes() == {"certificate": "critical"}


def test_a_downgrade_is_likely_in_whatever_way_a_sender_was_proven_before(
    reports: Reports, attention: Attention
) -> None:
    for day in (5, 6, 7):
        reports.add(DOMAIN, organization="Victim", day=day, successful=50, trust="dkim")
    reports.add(DOMAIN, organization="Victim", day=1, failures={"starttls-not-supported": 60}, trust="authserv")
    reports.add(DOMAIN, organization="Other", day=1, successful=500)
    assert attention.causes() == {"suspected-downgrade": "critical"}
    assert attention.read()["suspected-downgrade", "victim.example"].affected == 60


def test_a_policy_is_missed_in_whatever_way_a_sender_was_proven_before(reports: Reports, attention: Attention) -> None:
    for day in (3, 4):
        reports.add(DOMAIN, organization="Victim", day=day, successful=50, sts_mode="enforce", trust="dkim")
    for day in (1, 2):
        reports.add("other.example", organization="Victim", day=day, successful=50, sts_mode="enforce", trust="dkim")
        reports.add(DOMAIN, organization="Other", day=day, successful=500, sts_mode="enforce")
    for day, trust in ((2, "dkim"), (1, "authserv")):
        without = {"policy_type": "no-policy-found", "sts_mode": "", "trust": trust}
        reports.add(DOMAIN, organization="Victim", day=day, successful=8, **without)
    row = attention.read()["mta-sts-not-applied", "victim.example"]
    assert (row.severity, row.affected, row.since) == ("warning", 8, days_ago(2))


# ── Delay ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("source", list(Source))
def test_reports_are_late_only_by_a_way_on_which_they_come_when_they_are_sent(
    reports: Reports, attention: Attention, source: Source
) -> None:
    reports.add(DOMAIN, day=6, successful=1, delay=timedelta(days=4), source=source.value)
    reports.add(DOMAIN, day=1, successful=1, source="file")
    assert ("reports-late" in attention.causes()) == (source is not Source.FILE)
