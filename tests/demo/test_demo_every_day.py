"""The demo's stories are there whatever day today is: for every day of a leap year."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta

import pytest
from clock import ODD_DAYS

from demo.month import DAYS
from demo.tls.reports import reports

_LEAP_YEAR = 2028
_MINIMUM_SESSIONS, _FAILURE_RATIO = 20, 0.05  # what deserves attention, unless a domain is configured otherwise


class Facts:
    """What the reports of a month say, by domain and days ago."""

    def __init__(self, today: date) -> None:
        self.failed: dict[tuple[str, str], Counter[int]] = defaultdict(Counter)  # by domain and result type
        self.seen_by: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.servers: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.sessions: dict[str, Counter[int]] = defaultdict(Counter)
        self.succeeded: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))  # senders
        self.modes: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)  # by domain and sender
        for report in reports(today):
            days_ago, sender = (today - report.day).days, report.sender.domain
            for policy in report.policies:
                domain = policy.policy_domain
                self.sessions[domain][days_ago] += policy.successful + policy.failed
                if policy.successful:
                    self.succeeded[domain][days_ago].add(sender)
                mode = next((text for text in policy.policy_strings if text.startswith("mode: ")), "")
                self.modes[domain, sender][days_ago] = mode.removeprefix("mode: ")
                for failure in policy.failures:
                    key = domain, failure.result_type
                    self.failed[key][days_ago] += failure.sessions
                    self.seen_by[key].add(sender)
                    self.servers[key].add(failure.mx)


def assert_all_stories_are_there(today: date) -> None:
    """As demo/tls/stories.py says."""
    facts, month = Facts(today), set(range(1, DAYS + 1))
    assert all(set(facts.sessions[name]) == month for name in ("shop.example", "bank.example", "library.example"))

    expired = "shop.example", "certificate-expired"
    assert set(facts.failed[expired]) == {8, 9}
    assert facts.servers[expired] == {"mx2.shop.example"}
    assert len(facts.seen_by[expired]) > 5

    lost = "bank.example", "starttls-not-supported"
    assert set(facts.failed[lost]) == {1, 2, 3}
    assert facts.seen_by[lost] == {"harbor.example"}
    assert all(len(facts.succeeded["bank.example"][days_ago]) > 4 for days_ago in (1, 2, 3))

    assert set(facts.failed["news.example", "sts-policy-fetch-error"]) == {11, 12, 13, 14}

    slow = facts.failed["clinic.example", "validation-failure"]
    assert set(slow) >= set(range(1, 11))
    assert slow[1] >= _MINIMUM_SESSIONS
    share = {days: slow[days] / facts.sessions["clinic.example"][days] for days in range(1, 11)}
    assert share[1] > 2 * _FAILURE_RATIO
    assert share[1] > 2 * share[8]

    assert set(facts.failed["travel.example", "certificate-host-mismatch"]) == set(range(18, DAYS + 1))
    seen = facts.modes["travel.example", "northwind.example"]
    assert {days for days, mode in seen.items() if mode == "enforce"} == set(range(1, 8))
    assert {days for days, mode in seen.items() if mode == "testing"} == set(range(8, DAYS + 1))
    victim = facts.modes["travel.example", "meridian.example"]
    assert [victim[days] for days in range(1, 8)] == [""] * 3 + ["enforce"] * 4
    assert [facts.modes["shop.example", "meridian.example"][days] for days in range(1, 8)] == ["enforce"] * 7

    assert set(facts.failed["mx1.univ.example", "tlsa-invalid"]) == {4, 5}

    assert not [result for domain, result in facts.failed if domain == "library.example"]
    assert sum(facts.sessions["library.example"][days] for days in range(1, 31)) > 500


@pytest.mark.parametrize("today", ODD_DAYS, ids=str)
def test_the_stories_are_there_on_an_odd_day(today: date) -> None:
    assert_all_stories_are_there(today)


@pytest.mark.slow
@pytest.mark.parametrize("month", range(1, 13))
def test_the_stories_are_there_on_every_day_of_a_leap_year(month: int) -> None:
    today = date(_LEAP_YEAR, month, 1)
    while today.month == month:
        assert_all_stories_are_there(today)
        today += timedelta(days=1)
