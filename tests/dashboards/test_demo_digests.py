"""Three digests of the demo, as a manager reads them: a bad week, a mixed one, a quiet one."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from asking import ask, panel_sql
from clock import TODAY

from mailposture.clickhouse.client import connect
from reports.digest.page import page
from reports.digest.reading import read_digest
from reports.digest.text import as_text
from reports.digest.week import Week

if TYPE_CHECKING:
    from conftest import DemoStore

    from reports.digest.digest import Digest

pytestmark = pytest.mark.slow


def read(store: DemoStore, days_ago: int, *domains: str) -> Digest:
    """The digest that ended so many days ago, of these domains or all."""
    client = connect(store.config, user=store.config.clickhouse.analyst_user, endpoint=store.endpoint)
    with closing(client):
        week = Week(TODAY - timedelta(days=days_ago))
        return read_digest(client, week, domains=frozenset(domains) or None)


def test_a_bad_week_says_where_to_act_now_and_how(store: DemoStore) -> None:
    digest = read(store, 0)
    assert digest.verdict == (
        "Act now: mail is being lost or exposed at news.example and bank.example; "
        "3 more domains can wait for this week."
    )
    urgent = {(each.policy_domain, each.cause): each for each in digest.problems if each.severity == "critical"}
    assert set(urgent) == {
        ("news.example", "dmarc-own-failing"),
        ("bank.example", "mail-refused"),
        ("bank.example", "suspected-downgrade"),
    }
    action = urgent["news.example", "dmarc-own-failing"].action
    assert "news2025._domainkey.news.example" in action, "the very key"
    assert ("shop.example", "certificate") in {(each.policy_domain, each.cause) for each in digest.changes.ended}
    assert [(each.policy_domain, each.kind) for each in digest.changes.passing] == [("univ.example", "tls")]


def test_the_same_causes_as_alerts_have(store: DemoStore) -> None:
    digest = read(store, 0)
    asked = store.ask_as_grafana("SELECT DISTINCT policy_domain, cause, severity FROM attention WHERE NOT acknowledged")
    named = {(each.policy_domain, each.cause, each.severity.value) for each in (*digest.problems, *digest.notes)}
    assert named == {tuple(row.values()) for row in asked}


@pytest.mark.parametrize("days_ago", [0, 7])
def test_the_dashboards_that_its_links_lead_to_show_its_figures(store: DemoStore, days_ago: int) -> None:
    digest = read(store, days_ago)
    span = tuple(datetime.fromtimestamp(at / 1000, UTC) for at in digest.week.in_milliseconds)
    (shown,) = ask(store, "overview", panel_sql("overview", "Failed, 7 days"), span)
    assert shown["failed"] == digest.totals.sessions - digest.totals.sessions_with_tls
    (shown,) = ask(store, "overview", panel_sql("overview", "Now"), span)
    assert shown["domains"] == len({each.policy_domain for each in digest.problems})


def test_a_mixed_week_says_that_nothing_is_urgent_and_what_became_possible(store: DemoStore) -> None:
    digest = read(store, 14)
    assert digest.verdict.startswith("Nothing is urgent; ")
    assert "clinic.example" in digest.verdict
    assert ("travel.example", "certificate") in {(each.policy_domain, each.cause) for each in digest.changes.ended}
    assert ("univ.example", "DMARC policy quarantine") in digest.changes.ready


def test_a_quiet_week_is_three_lines(store: DemoStore) -> None:
    digest = read(store, 7, "library.example")
    title, nothing, *lines = as_text(page(digest)).splitlines()
    assert (title[:13], nothing) == ("Mail security", "")
    assert lines[:2] == ["All is well: nothing needs attention.", "Domain: library.example."]
    assert len(lines) in (3, 4), "the third may be wrapped"
    assert " sessions, 100 % with TLS; " in lines[2]


def test_a_week_of_a_parked_domain_whose_forgeries_are_blocked_is_quiet(store: DemoStore) -> None:
    assert as_text(page(read(store, 14, "oldbank.example"))).splitlines()[2:] == [
        "All is well: nothing needs attention.",
        "Parked domain: oldbank.example.",
        "453 forgeries blocked.",
    ]
