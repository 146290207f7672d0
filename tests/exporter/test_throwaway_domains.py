"""Domains that somebody registers for an hour, with valid signatures: what a rule about days can be cheated by."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import days_ago
from sample_reports import Reports

from reports.tls.readiness import Verdict, read_readiness
from reports.tls.summary import summarize

if TYPE_CHECKING:
    from two_domains import Attention, Gauges

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
HUGE = 10**12
FAILED = f"tlsrpt_sessions {DOMAIN} failed"
MIDNIGHT = datetime.combine(days_ago(0), time(), UTC)


@pytest.fixture
def newcomers(reports: Reports) -> Reports:
    """Writes reports of reporters that nobody knows."""
    return Reports(storage=reports.storage, newcomers=True)


# ── Known in an hour ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("apart", [timedelta(seconds=2), timedelta(hours=11)], ids=str)
def test_two_reports_around_midnight_make_nobody_known(newcomers: Reports, gauges: Gauges, apart: timedelta) -> None:
    for day, arrived in ((2, MIDNIGHT - apart / 2), (1, MIDNIGHT + apart / 2)):
        newcomers.add(DOMAIN, day=day, arrived=arrived, failures={"certificate-expired": HUGE})
    found = gauges.read()
    assert (found[FAILED], found[f"tlsrpt_reporters {DOMAIN} newcomer no"]) == (0, 1)


def test_reports_all_day_long_make_nobody_known(newcomers: Reports, gauges: Gauges) -> None:
    for hour in (0, 8, 16, 23):
        newcomers.add(DOMAIN, day=1, arrived=MIDNIGHT + timedelta(hours=hour), failures={"certificate-expired": HUGE})
    assert gauges.read()[FAILED] == 0


def test_a_reporter_of_the_morning_is_known_on_its_second(newcomers: Reports, attention: Attention) -> None:
    """Reports come at about the same time each day, and one early by some hours is still of the next day."""
    for day, arrived in ((2, MIDNIGHT - timedelta(hours=10)), (1, MIDNIGHT + timedelta(hours=4))):
        newcomers.add(DOMAIN, day=day, arrived=arrived, failures={"certificate-expired": 90})
    assert attention.affected("certificate") == 90


# ── A domain that nobody known reports about ──────────────────────────────────────────────────────────────────────────


def test_newcomers_do_not_make_a_domain_ready_to_enforce(newcomers: Reports) -> None:
    for organization in ("One", "Two"):
        for day in range(1, 31):
            newcomers.add(DOMAIN, organization=organization, day=day, arrived=MIDNIGHT, successful=HUGE)
    readiness = read_readiness(newcomers.storage.client(), DOMAIN, days=30)
    assert readiness is not None
    assert (readiness.verdict, readiness.sessions) == (Verdict.TOO_LITTLE_EVIDENCE, 0)


@pytest.mark.parametrize("others", [1, 2, 10])
def test_newcomers_do_not_outweigh_what_is_imported(
    newcomers: Reports, gauges: Gauges, others: int, attention: Attention
) -> None:
    """The drill must page."""
    drill = {"trust": "operator", "source": "file", "successful": 60, "failures": {"certificate-expired": 40}}
    newcomers.add(DOMAIN, organization="Drill", day=1, arrived=MIDNIGHT, **drill)  # type: ignore[arg-type]
    for number in range(others):
        newcomers.add(DOMAIN, organization=f"Evil{number}", day=1, arrived=MIDNIGHT, successful=HUGE)
    found = gauges.read()
    assert (found[FAILED], found[f"tlsrpt_sessions {DOMAIN} successful"], attention.affected("certificate")) == (
        40,
        60,
        40,
    )


# ── Beside known reporters ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_newcomer_that_imitates_a_known_reporter_by_every_way_but_proof_is_not_it(
    reports: Reports, newcomers: Reports, gauges: Gauges
) -> None:
    reports.add(DOMAIN, organization="Google", day=3, failures={"certificate-expired": 90})
    reports.add(DOMAIN, organization="Yahoo", day=1, successful=90)
    before = gauges.read()
    for trust in ("token", "mailbox"):
        for day in (1, 2):
            words = {"organization": "Google", "reporter": "google.example", "arrived": MIDNIGHT, "trust": trust}
            newcomers.add(DOMAIN, day=day, successful=HUGE, **words)  # type: ignore[arg-type]
    after = gauges.read()
    assert {name for name in before if before[name] != after[name]} == set()


def test_summary_says_whose_sessions_do_not_count_in_alerts(reports: Reports, newcomers: Reports) -> None:
    reports.add(DOMAIN, organization="Google", day=1, failures={"certificate-expired": 9})
    newcomers.add(DOMAIN, organization="Google", reporter="evil.example", day=1, arrived=MIDNIGHT, successful=0,
                  failures={"certificate-expired": 99})  # fmt: skip
    newcomers.add(
        DOMAIN, organization="Post", day=1, arrived=MIDNIGHT, trust="token", failures={"validation-failure": 5}
    )
    (summary,) = summarize(reports.storage.client(), days=7, domain=DOMAIN)
    assert [share.name for share in summary.senders] == [
        "Google (evil.example), not in alerts",
        "Google (google.example)",
        "Post (post.example, unproven), not in alerts",
    ]
