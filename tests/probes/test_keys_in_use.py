"""DKIM keys that reports show in use: from the rows of reports to what is probed, and what became of the record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import DOMAIN, YESTERDAY, days_ago
from outside import measured

from exporter.probes.dns import probe_dns
from exporter.probes.keys import KeysInUse
from mailposture.checks.dkim import KeyInUse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine import Storage
    from outside import World


def put(storage: Storage, *, reporter: str, day: int = 1, selector: str = "s1", **row: Any) -> None:
    """A report of one record."""
    key = abs(hash((reporter, day, selector, str(row)))) % 2**63
    about = {"day": days_ago(day), "report_key": key, "reporter": reporter, "organization": reporter}
    common = {name: row[name] for name in ("trust", "reporter_proven") if name in row}
    arrived = datetime.combine(days_ago(day - 1), datetime.min.time(), UTC)
    storage.put("dmarc_reports", {**about, **common, "received_at": arrived})
    signed = {
        "dkim_domains": [DOMAIN],
        "dkim_selectors": [selector],
        "dkim_results": ["pass"],
        "dkim_aligned": True,
    }
    record = {**about, **signed, **row}
    storage.put("dmarc_records", {**record, "dkim_details": [""] * len(record["dkim_results"])}, known=False)


def selectors(storage: Storage) -> set[tuple[str, str]]:
    return {(domain, selector) for domain, selector in storage.ask("SELECT dkim_domain, selector FROM dmarc_selectors")}


def test_key_that_two_reporters_saw_is_in_use(storage: Storage) -> None:
    put(storage, reporter="a.example")
    assert selectors(storage) == set(), "one reporter that came yesterday may make up keys"
    put(storage, reporter="b.example")
    assert selectors(storage) == {(DOMAIN, "s1")}


@pytest.mark.slow
def test_reporter_that_is_known_is_enough_and_so_is_an_operator(storage: Storage) -> None:
    put(storage, reporter="a.example", day=20, selector="s2")
    put(storage, reporter="a.example", day=2, selector="s2")
    put(storage, reporter="b.example", day=2, selector="made-up")
    put(storage, reporter="c.example", day=2, selector="by-hand", trust="operator", reporter_proven=False)
    assert selectors(storage) == {(DOMAIN, "s2"), (DOMAIN, "by-hand")}


@pytest.mark.slow
def test_reporter_that_dkim_and_spf_prove_is_one(storage: Storage) -> None:
    for trust in ("dkim", "spf"):
        put(storage, reporter="a.example", trust=trust, selector=trust)
    assert selectors(storage) == set()
    put(storage, reporter="b.example", trust="spf", selector="s1")
    assert selectors(storage) == {(DOMAIN, "dkim"), (DOMAIN, "spf"), (DOMAIN, "s1")}


def test_only_signatures_that_passed_in_our_name_count(storage: Storage) -> None:
    records: list[dict[str, Any]] = [
        {"dkim_results": ["fail"]},
        {"dkim_domains": ["vendor.example"]},
        {"dkim_domains": [f"not{DOMAIN}"]},
        {"dkim_domains": ["com"]},
        {"dkim_selectors": [""]},
        {"dkim_aligned": False},
    ]
    for number, record in enumerate(records):
        for reporter in ("a.example", "b.example"):
            put(storage, reporter=reporter, **{"selector": f"no{number}", **record})
    for reporter in ("a.example", "b.example"):
        put(
            storage,
            reporter=reporter,
            dkim_domains=["vendor.example", f"News.{DOMAIN}", DOMAIN],
            dkim_selectors=["v", "S3", "s4"],
            dkim_results=["pass", "pass", "permerror"],
        )
    assert selectors(storage) == {(f"news.{DOMAIN}", "s3")}


@pytest.mark.slow
def test_key_that_was_replaced_is_known_as_such(storage: Storage) -> None:
    for reporter in ("a.example", "b.example"):
        put(storage, reporter=reporter, day=10, selector="old")
        put(storage, reporter=reporter, day=1, selector="new")
    keys = KeysInUse(lambda sql, parameters: storage.ask(sql, "exporter", **parameters))
    assert keys.of(DOMAIN) == ()
    keys.renew()
    assert set(keys.of(DOMAIN)) == {
        KeyInUse(domain=DOMAIN, selector="new"),
        KeyInUse(domain=DOMAIN, selector="old", unused_since=str(days_ago(10))),
    }


def test_what_is_known_stays_while_clickhouse_is_away() -> None:
    moment = [0.0]
    answers: list[Any] = [
        [(DOMAIN, DOMAIN, "s1", YESTERDAY, YESTERDAY), (DOMAIN, DOMAIN, "no name", YESTERDAY, YESTERDAY)]
    ]
    asked: list[str] = []

    def ask(sql: str, _: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        asked.append(sql)
        if not answers:
            raise OSError("away")
        return answers.pop()  # type: ignore[no-any-return]

    keys = KeysInUse(ask, now=lambda: moment[0])
    keys.renew()
    keys.renew()
    assert len(asked) == 1, "not asked again before it is time"
    moment[0] += 3600
    keys.renew()
    assert len(asked) == 2
    assert keys.of(DOMAIN) == (KeyInUse(domain=DOMAIN, selector="s1"),)


async def test_each_key_is_a_row_and_all_together_one_series(world: World) -> None:
    domain = world.domain.name
    world.zone.text += f's1._domainkey.{domain}. 60 IN TXT "v=DKIM1; p="\n'
    keys = [KeyInUse(domain=domain, selector=selector) for selector in ("s1", "s2")]
    outcome = await probe_dns(world.domain, replace(world.context(), keys_of=lambda _: keys))
    samples = measured(outcome)
    assert samples["dns_record_success dkim"] == 0
    assert samples["dns_record_failure dkim key-revoked"] == 1
    assert samples["dns_record_failure dkim no-record"] == 1
    assert [(row.subject, row.reason, row.published) for row in outcome.findings if row.record == "dkim"] == [
        (f"s1._domainkey.{domain}", "key-revoked", "v=DKIM1; p="),
        (f"s2._domainkey.{domain}", "no-record", ""),
    ]


async def test_row_of_the_dmarc_record_says_what_receivers_apply(world: World) -> None:
    world.zone.text = world.zone.text.replace("v=DMARC1; p=reject;", "v=DMARC1; p=reject; sp=none; pct=50;")
    outcome = await probe_dns(world.domain, world.context())
    assert {row.record: row.policies for row in outcome.findings if row.policies} == {
        "dmarc": ("quarantine", "none", "none")
    }


def test_record_that_changed_is_an_event_with_before_and_after(storage: Storage) -> None:
    midnight = datetime.combine(YESTERDAY, datetime.min.time(), UTC)
    seen = [
        ("v=spf1 -all", ""),
        ("v=spf1 -all", ""),
        ("", "dns-error"),  # nothing was seen, so nothing changed
        ("v=spf1 mx -all", ""),
        ("", "no-record"),
    ]
    for number, (published, reason) in enumerate(seen):
        for record, subject, text in (("spf", "", published), ("dkim", "s1._domainkey.example.com", "v=DKIM1; p=x")):
            storage.put(
                "probe_results",
                {
                    "probe": "dns",
                    "record": record,
                    "subject": subject,
                    "probed_at": midnight + timedelta(minutes=15 * number),
                    "published": text,
                    "reason": reason if record == "spf" else "",
                    "success": not reason,
                },
            )
    columns = "record, subject, seen_at, unchanged_at, before, after"
    at = [midnight + timedelta(minutes=15 * number) for number in range(5)]
    found = storage.ask(
        f"SELECT {columns} FROM record_changes WHERE policy_domain = '{DOMAIN}' ORDER BY seen_at", "grafana"
    )
    assert [(*row[:2], *(moment.replace(tzinfo=UTC) for moment in row[2:4]), *row[4:]) for row in found] == [
        ("spf", "", at[3], at[1], "v=spf1 -all", "v=spf1 mx -all"),
        ("spf", "", at[4], at[3], "v=spf1 mx -all", ""),
    ]
