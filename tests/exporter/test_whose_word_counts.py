"""What reports of those nobody has heard of can do to pages: alone nothing, and never in another's name."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING

import pytest
from engine import days_ago
from sample_reports import Reports

if TYPE_CHECKING:
    from engine import Storage
    from two_domains import Attention, Gauges

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
HUGE = 10**12
FAILED = f"tlsrpt_sessions {DOMAIN} failed"
SUCCESSFUL = f"tlsrpt_sessions {DOMAIN} successful"
LAST_DAY = f"tlsrpt_last_report_day_timestamp_seconds {DOMAIN}"


def midnight(day: int) -> float:
    return datetime.combine(days_ago(day), time(), UTC).timestamp()


@pytest.fixture
def newcomers(reports: Reports) -> Reports:
    """Writes reports that all arrive today."""
    return Reports(storage=reports.storage, newcomers=True)


def add_today(reports: Reports, organization: str, **more: object) -> None:
    now = datetime.combine(days_ago(0), time(), UTC)
    reports.add(DOMAIN, organization=organization, **{"day": 1, "arrived": now, **more})


def share_failed(gauges: Gauges) -> float:
    found = gauges.read()
    return found[FAILED] / ((found[FAILED] + found[SUCCESSFUL]) or 1)


# ── Domains with known reporters ──────────────────────────────────────────────────────────────────────────────────────


def test_a_newcomer_cannot_page_where_a_known_reporter_sees_nothing(
    reports: Reports, newcomers: Reports, gauges: Gauges, attention: Attention
) -> None:
    reports.add(DOMAIN, day=1, successful=1000)
    add_today(newcomers, "Evil", failures={"certificate-expired": HUGE})
    found = gauges.read()
    assert (found[SUCCESSFUL], found[FAILED]) == (1000, 0)
    assert attention.affected("certificate") == 0
    assert attention.causes() == {}
    assert found[f"tlsrpt_reporters {DOMAIN} newcomer no"] == 1


def test_a_newcomer_cannot_end_the_page_of_an_outage(
    reports: Reports, newcomers: Reports, gauges: Gauges, attention: Attention
) -> None:
    reports.add(DOMAIN, organization="Comcast", day=2, successful=500, failures={"certificate-expired": 500})
    before = gauges.read()
    add_today(newcomers, "Comcast", reporter="evil.example", successful=HUGE)
    after = gauges.read()
    assert (after[FAILED], after[SUCCESSFUL], attention.affected("certificate")) == (500, 500, 500)
    assert {name for name in before if before[name] != after[name]} == set()


def test_a_newcomer_cannot_hide_that_reports_are_missing(reports: Reports, newcomers: Reports, gauges: Gauges) -> None:
    reports.add(DOMAIN, day=9, successful=1)
    add_today(newcomers, "Evil", successful=1)
    assert gauges.read()[LAST_DAY] == midnight(9)


def test_a_thousand_domains_at_once_change_nothing(reports: Reports, newcomers: Reports, gauges: Gauges) -> None:
    reports.add(DOMAIN, day=2, successful=500, failures={"certificate-expired": 500})
    before = gauges.read()
    thousand_domains(newcomers.storage, first=days_ago(0), failed=0)
    thousand_domains(newcomers.storage, first=days_ago(0), failed=HUGE, suffix="bad.example")
    after = gauges.read()
    assert after.pop(f"tlsrpt_reporters {DOMAIN} newcomer no") == 2000
    assert after.pop(f"tlsrpt_reporters {DOMAIN} newcomer yes") == 0
    assert after == before


def test_a_thousand_domains_of_two_days_change_nothing_where_three_reporters_are_established(
    reports: Reports, gauges: Gauges
) -> None:
    reports.add(DOMAIN, organization="One", day=2, successful=500, failures={"certificate-expired": 500})
    reports.add(DOMAIN, organization="Two", day=4, successful=500)
    reports.add(DOMAIN, organization="Three", day=4, successful=500)
    before = gauges.read()
    thousand_domains(reports.storage, first=days_ago(20), failed=0)
    thousand_domains(reports.storage, first=days_ago(20), failed=HUGE, suffix="bad.example")
    after = gauges.read()
    assert after.pop(f"tlsrpt_reporters {DOMAIN} known no") == 2000
    assert after.pop(f"tlsrpt_reporters {DOMAIN} known yes") == 0
    assert after == before


def test_a_downgrade_is_suspected_of_nobody_but_a_known_reporter(
    reports: Reports, newcomers: Reports, attention: Attention
) -> None:
    """A past is made up in one burst: the day that a report is about is free to choose."""
    for day in range(2, 7):
        reports.add(DOMAIN, organization="Yahoo", day=day, successful=1000, sts_mode="enforce")
        add_today(newcomers, "Evil", day=day, successful=1000, sts_mode="enforce")
    reports.add(DOMAIN, organization="Other", day=1, successful=1000, sts_mode="enforce")
    add_today(newcomers, "Yahoo", reporter="evil.example", failures={"starttls-not-supported": 50})
    add_today(newcomers, "Yahoo", reporter="evil.example", policy_type="no-policy-found", sts_mode="", successful=5)
    assert attention.causes() == {}


def test_newcomers_cannot_make_a_likely_downgrade_look_like_our_own_fault(
    reports: Reports, newcomers: Reports, attention: Attention
) -> None:
    for day in (5, 6, 7):
        reports.add(DOMAIN, organization="Victim", day=day, successful=50)
    reports.add(DOMAIN, organization="Victim", day=1, failures={"starttls-not-supported": 8})
    reports.add(DOMAIN, organization="Other", day=1, successful=500)
    for number in range(5):
        add_today(newcomers, f"Evil{number}", failures={"starttls-not-supported": 8})
    assert attention.read()["suspected-downgrade", "victim.example"].severity == "critical"
    assert attention.affected("suspected-downgrade") == 8


# ── Domains that nobody known reports about ───────────────────────────────────────────────────────────────────────────


def test_one_newcomer_alone_pages_nobody_and_is_no_report_that_has_come(
    newcomers: Reports, gauges: Gauges, attention: Attention
) -> None:
    add_today(newcomers, "Evil", failures={"certificate-expired": HUGE})
    found = gauges.read()
    assert (found[SUCCESSFUL], found[FAILED]) == (0, 0)
    assert attention.affected("certificate") == 0
    assert LAST_DAY not in found


def test_two_newcomers_that_agree_page(newcomers: Reports, gauges: Gauges, attention: Attention) -> None:
    for organization in ("One", "Two"):
        add_today(newcomers, organization, successful=10, failures={"certificate-expired": 90})
    found = gauges.read()
    assert (found[SUCCESSFUL], found[FAILED], attention.affected("certificate")) == (20, 180, 180)
    assert found[LAST_DAY] == midnight(1)


def test_two_days_page(newcomers: Reports, gauges: Gauges, attention: Attention) -> None:
    add_today(newcomers, "One", successful=10, failures={"certificate-expired": 90})
    yesterday = datetime.combine(days_ago(1), time(9), UTC)
    add_today(newcomers, "One", day=2, arrived=yesterday, successful=100)
    found = gauges.read()
    assert (found[FAILED], attention.affected("certificate")) == (90, 90)
    assert found[f"tlsrpt_reporters {DOMAIN} known yes"] == 1


def test_many_report_days_in_one_burst_make_nobody_known(newcomers: Reports, gauges: Gauges) -> None:
    for day in range(1, 30):
        add_today(newcomers, "Evil", day=day, failures={"certificate-expired": 90})
    assert gauges.read()[FAILED] == 0


def test_a_newcomer_beside_an_honest_one_does_not_page_alone(
    newcomers: Reports, gauges: Gauges, attention: Attention
) -> None:
    add_today(newcomers, "Honest", successful=10_000, failures={"validation-failure": 3})
    add_today(newcomers, "Evil", failures={"certificate-expired": HUGE})
    found = gauges.read()
    assert (found[SUCCESSFUL], found[FAILED], attention.affected("certificate")) == (10_000, 6, 0)


def test_of_newcomers_none_counts_for_more_than_the_second_largest(newcomers: Reports, gauges: Gauges) -> None:
    add_today(newcomers, "Honest", successful=5, failures={"certificate-expired": 15})
    add_today(newcomers, "Evil", failures={"certificate-expired": HUGE})
    assert gauges.read()[FAILED] == 30


def test_newcomers_that_see_nothing_do_not_outweigh_those_that_see_an_outage(
    newcomers: Reports, gauges: Gauges
) -> None:
    for organization in ("One", "Two"):
        add_today(newcomers, organization, failures={"certificate-expired": 50})
    for number in range(10):
        add_today(newcomers, f"Evil{number}", successful=HUGE)
    assert share_failed(gauges) == 1


# ── What nothing proves ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_import_counts_at_once(newcomers: Reports, gauges: Gauges, attention: Attention) -> None:
    """The drill must page."""
    add_today(newcomers, "Drill", trust="operator", source="file", successful=60, failures={"certificate-expired": 40})
    found = gauges.read()
    assert (found[FAILED], attention.affected("certificate")) == (40, 40)
    assert found[f"tlsrpt_reporters {DOMAIN} by-hand yes"] == 1


def test_what_is_not_proven_does_not_end_what_is(reports: Reports, attention: Attention) -> None:
    reports.add(DOMAIN, organization="Google", day=2, failures={"certificate-expired": 90})
    for trust in ("operator", "mailbox", "token"):
        reports.add(DOMAIN, organization="Google", day=1, trust=trust, successful=1)
    assert attention.affected("certificate") == 90


def test_posts_neither_page_nor_end_a_page_nor_hide_that_reports_are_missing(reports: Reports, gauges: Gauges) -> None:
    reports.add(DOMAIN, organization="Google", day=3, failures={"certificate-expired": 90})
    before = gauges.read()
    reports.add(DOMAIN, organization="Google", day=1, trust="token", successful=HUGE)
    reports.add(DOMAIN, organization="Yahoo", day=1, trust="token", failures={"starttls-not-supported": HUGE})
    after = gauges.read()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"tlsrpt_reporters {DOMAIN} post {counts}" for counts in ("yes", "no")}


def test_posts_page_where_the_configuration_says_so(reports: Reports, attention: Attention) -> None:
    reports.storage.client().command(
        "INSERT INTO mailposture_tables.configured_domains"
        " SELECT * REPLACE (true AS posts_count, now64() AS updated_at)"
        f" FROM mailposture_tables.configured_domains FINAL WHERE policy_domain = '{DOMAIN}'"
    )
    reports.add(DOMAIN, organization="Google", day=1, trust="token", failures={"certificate-expired": 90})
    assert attention.affected("certificate") == 90


def test_a_trusted_mailbox_is_no_way_around_the_rule_for_newcomers(
    reports: Reports, newcomers: Reports, gauges: Gauges
) -> None:
    reports.add(DOMAIN, day=1, successful=1000)
    add_today(newcomers, "Evil", trust="mailbox", failures={"certificate-expired": HUGE})
    assert gauges.read()[FAILED] == 0


def thousand_domains(storage: Storage, *, first: object, failed: int, suffix: str = "evil.example") -> None:
    """A thousand reporters about DOMAIN, accepted for the first time on a day and today."""
    names = f"concat('d', toString(number), '.{suffix}')"
    storage.client().command(f"""
        INSERT INTO mailposture_tables.tls_policies
            (policy_domain, day, report_key, reported_policy_domain, reporter, reporter_proven,
            policy_type, sts_mode, successful_sessions, failed_sessions, counts, trust)
        SELECT '{DOMAIN}', (SELECT today FROM clock) - 1, sipHash64({names}), '{DOMAIN}', {names}, true, 'sts',
            'enforce', {0 if failed else HUGE}, {failed}, true, 'dkim'
        FROM numbers(1000)""")
    storage.client().command(f"""
        INSERT INTO mailposture_tables.tls_failures
            (policy_domain, day, report_key, reporter, reporter_proven, policy_type, sts_mode,
            result_type, category, severity, receiving_mx, failed_sessions, counts, trust)
        SELECT policy_domain, day, report_key, reporter, true, policy_type, sts_mode, 'starttls-not-supported',
            'starttls-not-supported', 'critical', 'mx9.shop.example', failed_sessions, true, trust
        FROM mailposture_tables.tls_policies WHERE failed_sessions > 0 AND endsWith(reporter, '.{suffix}')""")
    storage.client().command(f"""
        INSERT INTO mailposture_tables.tls_reporter_arrivals
            (policy_domain, reporter, trust, first_arrival, last_arrival)
        SELECT '{DOMAIN}', {names}, 'dkim', toDateTime('{first} 00:00:00', 'UTC'), toDateTime(today, 'UTC')
        FROM clock CROSS JOIN numbers(1000) AS numbers""")
