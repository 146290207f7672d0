"""Who sends in our name, what to do about it, may the policy be stricter: one answer by dashboard, command and SQL."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from asking import MONTH, ask, panel_sql

from mailposture.clickhouse.client import connect
from reports.dmarc.readiness import read_readiness
from reports.dmarc.sources import read_senders, read_source
from reports.dmarc.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver import Client
    from conftest import DemoStore

pytestmark = pytest.mark.slow

# As in docs/dmarc.md.
WHO_SENDS = (
    "SELECT source, pile, sum(messages) AS sent FROM dmarc_sources_daily"
    " WHERE policy_domain = '{domain}' AND day >= (SELECT today FROM clock) - 30 GROUP BY ALL"
)


@pytest.fixture
def analyst(store: DemoStore) -> Iterator[Client]:
    with closing(connect(store.config, user=store.config.clickhouse.analyst_user, endpoint=store.endpoint)) as client:
        yield client


@pytest.fixture
def domains(store: DemoStore) -> list[str]:
    found = store.ask_as_grafana("SELECT DISTINCT policy_domain FROM dmarc_sources_daily ORDER BY policy_domain")
    assert len(found) >= 7
    return [str(row["policy_domain"]) for row in found]


def panel(store: DemoStore, domain: str, title: str, **chosen: list[str]) -> list[dict[str, Any]]:
    board = "dmarc-source" if chosen else "dmarc-domain"
    found: Any = ask(store, board, panel_sql(board, title), MONTH, domain=[domain] if chosen else domain, **chosen)
    return list(found)


def test_who_sends(store: DemoStore, analyst: Client, domains: list[str]) -> None:
    for domain in domains:
        shown = panel(store, domain, "Who sends in the name of $domain")
        listed = read_senders(analyst, domain, days=30).sources
        asked = store.ask_as_grafana(WHO_SENDS.format(domain=domain))
        assert [(row["Source"], row["Pile"], row["Messages"], row["Evidence"]) for row in shown] == [
            (each.source, each.pile, each.messages, each.evidence) for each in listed
        ]
        assert {(each.source, each.pile): each.messages for each in listed} == {
            (row["source"], row["pile"]): row["sent"] for row in asked
        }
        summary = summarize(analyst, days=30, domain=domain)[domain]
        by_pile: defaultdict[str, int] = defaultdict(int)
        for each in listed:
            by_pile[each.pile] += each.messages
        assert summary.unknown_messages == by_pile["unknown"]
        assert summary.own_messages == by_pile["aligned"] + by_pile["forwarded"] + by_pile["ours-failing"]


def test_what_to_do_about_each_sender(store: DemoStore, analyst: Client, domains: list[str]) -> None:
    sources = 0
    for domain in domains:
        shown = panel(store, domain, "Senders that fail, and what to do")
        listed = read_senders(analyst, domain, days=30)
        assert [(row["State"], row["Source"], row["Fails"], row["What to do"]) for row in shown] == [
            (each.state, each.source, each.failing_messages, each.action) for each in listed.to_do
        ]
        for each in {sending.source: sending for sending in listed.sources}.values():
            sources += 1
            one = read_source(analyst, domain, each.source.upper(), days=30)
            assert one is not None
            chosen = {"source": [_id(store, domain, each.source)]}
            wrong = panel(store, domain, "What is wrong with its mail, and what to do", **chosen)
            assert [(row["Pile"], row["Reason"], row["Fails"], row["What to do"]) for row in wrong] == [
                (why.pile, why.reason, why.messages, why.action) for why in one.reasons
            ]
            addresses = panel(store, domain, "Addresses", **chosen)
            assert [(row["Address"], row["Pile"], row["Messages"]) for row in addresses] == [
                (address.address, address.pile, address.messages) for address in one.addresses
            ]
    assert sources >= 15


def _id(store: DemoStore, domain: str, source: str) -> str:
    """As the link of the dashboard names it."""
    rows = panel(store, domain, "Who sends in the name of $domain")
    return str(next(row["source_id"] for row in rows if row["Source"] == source))


def test_may_the_policy_be_stricter(store: DemoStore, analyst: Client, domains: list[str]) -> None:
    for domain in domains:
        shown = panel(store, domain, "May the policy be stricter?")
        readiness = read_readiness(analyst, domain)
        assert readiness is not None
        assert sorted((row["Scope"], row["Step"], row["Verdict"], row["Why"]) for row in shown) == sorted(
            (step.scope, step.step, step.verdict.value, " ".join(step.reasons)) for step in readiness.steps
        )
        waiting = {source.source for source in readiness.sources if source.waits}
        to_do = read_senders(analyst, domain, days=30).to_do
        keeps_coming = {each.source for each in to_do if each.state == "keeps-coming"}
        assert keeps_coming == waiting - {each.source for each in to_do if each.state == "possibly-ours"}
