"""What somebody has acknowledged is shown as that, and never counted as open; silence is what attention says it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from asking import ask, panel_sql
from clock import NOW, TODAY
from engine import DOMAIN
from sample_reports import Reports

from reports.acknowledging import Acknowledgement, acknowledge

if TYPE_CHECKING:
    from conftest import DemoStore
    from engine import Storage

pytestmark = pytest.mark.slow

NUMBERS = (("domain", "Mail being refused"), ("mta-sts", "Mail being refused"), ("mta-sts", "Certificates rejected"))


def known(storage: Storage, cause: str, subject: str = "") -> None:
    until = TODAY + timedelta(days=3)
    entry = Acknowledgement(policy_domain=DOMAIN, cause=cause, subject=subject, until=until, because="known")
    acknowledge(storage.client(), storage.config, entry)


def numbers(store: DemoStore) -> list[object]:
    shown = []
    for board, title in NUMBERS:
        (row,) = ask(store, board, panel_sql(board, title), domain=DOMAIN)
        shown.append(row["number"])
    return shown


def test_numbers_count_what_is_open(storage: Storage, own_store: DemoStore) -> None:
    reports = Reports(storage=storage)
    for server in ("mx1.example.com", "mx2.example.com"):
        failed = {"certificate-expired": 40}
        reports.add(DOMAIN, day=1, failures=failed, receiving_mx=server, organization=server, sts_mode="enforce")
    assert numbers(own_store) == [80, 1, 2]
    known(storage, "certificate", "mx1.example.com")
    assert numbers(own_store) == [80, 1, 1]
    known(storage, "certificate")
    known(storage, "mail-refused")
    assert numbers(own_store) == [-1, -1, -1]


def states(store: DemoStore) -> dict[tuple[str, str], str]:
    rows = ask(store, "collector", panel_sql("collector", "Freshness by domain"))
    return {(str(row["Domain"]), str(row["Reports"])): str(row["State"]) for row in rows}


def test_silence_is_what_attention_says(storage: Storage, own_store: DemoStore) -> None:
    """A report every fourth day is waited for, however old the last one is."""
    reports = Reports(storage=storage)
    for number in range(12):
        reports.add("example.net", day=5 + 4 * number, successful=100)
    for day in range(5, 40):
        reports.add(DOMAIN, day=day, successful=100)
    assert states(own_store) == {
        (DOMAIN, "TLS"): "missing",
        (DOMAIN, "DMARC"): "never",
        ("example.net", "TLS"): "fresh",
        ("example.net", "DMARC"): "never",
    }
    known(storage, "no-reports")
    assert states(own_store)[DOMAIN, "TLS"] == "known"


def test_dmarc_reports_are_as_fresh_as_those_that_count(storage: Storage, own_store: DemoStore) -> None:
    for number, (reporter, day) in enumerate(
        (("a.example", 2), ("a.example", 9), ("b.example", 40), ("new.example", 1))
    ):
        about = {"day": TODAY - timedelta(days=day), "reporter": reporter, "report_key": number}
        arrived = NOW - timedelta(days=0 if reporter == "new.example" else 1)
        storage.put("dmarc_reports", {**about, "received_at": arrived})
    for reporter in ("a.example", "b.example"):
        storage.accepted(DOMAIN, reporter, "dkim", TODAY - timedelta(days=60), TODAY - timedelta(days=1), kind="dmarc")
    columns = "last_report_day, toDate(last_received_at), reporters_last_7_days, reports_last_7_days"
    ((day, arrived, reporters, number),) = storage.ask(
        f"SELECT {columns} FROM dmarc_freshness WHERE policy_domain = '{DOMAIN}'", "grafana"
    )
    assert (TODAY - day, TODAY - arrived, reporters, number) == (timedelta(days=2), timedelta(days=1), 1, 1)
    assert states(own_store)[DOMAIN, "DMARC"] == "fresh"
    ((arrival,),) = (row.values() for row in ask(own_store, "collector", panel_sql("collector", "Last report")))
    assert str(arrival).startswith(str(TODAY - timedelta(days=1)))


def test_nothing_is_missed_of_a_parked_domain(store: DemoStore) -> None:
    found = states(store)
    parked = {domain.name for domain in store.config.domains if domain.parked}
    assert parked
    assert {domain for (domain, _), state in found.items() if state == "parked"} == parked
    rows = store.ask_as_grafana("SELECT policy_domain FROM attention WHERE cause IN ('no-reports', 'dmarc-no-reports')")
    assert {domain for (domain, _), state in found.items() if state == "missing"} == {
        str(row["policy_domain"]) for row in rows
    }
