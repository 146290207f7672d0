"""View, gauge, alerts, dashboards and summary name the same causes of the same domains with the same severity.

Over the days of the demo's stories, and over stories that are made up at random.
"""

from __future__ import annotations

import re
import subprocess
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import yaml
from asking import ask, panel_sql
from clock import NOW, TODAY
from engine import days_ago, set_clock
from programs import program
from prometheus_client.parser import text_string_to_metric_families
from sample_reports import Reports

from exporter.asking import Asking
from exporter.reported import configured, reported
from mailposture.clickhouse.client import connect
from reports.acknowledging import Acknowledgement, acknowledge
from reports.alerts.table import ALERTS
from reports.causes import FROM_DMARC_REPORTS
from reports.prepare import roll_up
from reports.tls.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import DemoStore
    from engine import Storage

pytestmark = pytest.mark.slow

RULES = Path(__file__).parents[2] / "alerting-rules"
Causes = set[tuple[str, str, str]]  # policy domain, cause, severity
NAMES = {(alert.cause, str(alert.severity)): alert.name for alert in ALERTS}


def of_view(store: DemoStore) -> Causes:
    rows = store.ask_as_grafana("SELECT policy_domain, cause, severity FROM attention WHERE NOT acknowledged")
    return {(str(row["policy_domain"]), str(row["cause"]), str(row["severity"])) for row in rows}


def shown(store: DemoStore, dashboard: str, panel: str, days_ago: int) -> list[dict[str, object]]:
    """What a panel shows for the thirty days up to then."""
    span = (NOW - timedelta(days=30 + days_ago), NOW - timedelta(days=days_ago))
    return ask(store, dashboard, panel_sql(dashboard, panel), span)


def of_dashboard(store: DemoStore, days_ago: int) -> Causes:
    rows = shown(store, "overview", "Needs attention now", days_ago)
    return {(str(row["Domain"]), str(row["Cause"]), str(row["Severity"])) for row in rows if not row["Acknowledged"]}


def called_good(store: DemoStore, days_ago: int) -> set[str]:
    """Domains of which the overview says nothing but good, now."""
    rows = shown(store, "overview", "Domains", days_ago)
    return {str(row["Domain"]) for row in rows if row["State"] in ("failed earlier", "all good")}


def of_dmarc_headline(store: DemoStore, days_ago: int) -> int:
    """How many causes need attention by the first number of the overview of DMARC; 0 where it says that none does."""
    ((causes,),) = (row.values() for row in shown(store, "dmarc-overview", "Now", days_ago))
    return max(0, int(str(causes or 0)))


def of_summary(store: DemoStore) -> Causes:
    client = connect(store.config, user=store.config.clickhouse.analyst_user, endpoint=store.endpoint)
    with closing(client):
        needed = [each for summary in summarize(client, days=7) for each in summary.attention]
    return {(each.policy_domain, each.cause, str(each.severity)) for each in needed if not each.acknowledged}


def page(store: DemoStore) -> str:
    names = {domain.name for domain in store.config.domains}
    return configured(store.config) + reported(ask=Asking(store.config), domains=names)


def of_gauge(text: str) -> Causes:
    return {
        (sample.labels["policy_domain"], sample.labels["cause"], sample.labels["severity"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "mailposture_attention"
    }


def alerting(text: str, folder: Path) -> set[tuple[str, str, str]]:
    """What fires (policy domain, alert, severity) when Prometheus sees this page for a day and more."""
    series = []
    for line in text.splitlines():
        if re.match(r"mailposture_(attention|attention_acknowledged|domain_info)\{", line):
            name, number = line.rsplit(" ", 1)
            labelled = name.replace("{", '{instance="exporter:9466",job="mailposture-exporter",', 1)
            series.append({"series": labelled, "values": f"{float(number):g}x100"})
    query = "count by (policy_domain, alertname, severity) (ALERTS{alertstate='firing'})"
    test = {
        "rule_files": [str(RULES / "reports.yml"), str(RULES / "probes.yml")],
        "evaluation_interval": "30m",
        "tests": [
            {
                "interval": "30m",
                "input_series": series,
                "promql_expr_test": [{"expr": query, "eval_time": "30h", "exp_samples": []}],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    fired = re.findall(r'alertname="(\w+)", policy_domain="([^"]+)", severity="(\w+)"', done.stdout + done.stderr)
    return {(domain, name, severity) for name, domain, severity in fired}


def agree(store: DemoStore, folder: Path, *, days_ago: int = 0) -> Causes:
    """Ask everybody; returns what they agree on."""
    found = of_view(store)
    text = page(store)
    assert of_gauge(text) == found
    assert of_summary(store) == found
    assert of_dashboard(store, days_ago) == found
    waiting = {(domain, cause) for domain, cause, severity in found if severity != "info"}
    assert called_good(store, days_ago) & {domain for domain, _ in waiting} == set()
    of_mail_from_us = {cause.term for cause in FROM_DMARC_REPORTS}
    assert of_dmarc_headline(store, days_ago) == sum(cause in of_mail_from_us for _, cause in waiting)
    assert alerting(text, folder) == {(domain, NAMES[cause, severity], severity) for domain, cause, severity in found}
    return found


@pytest.fixture
def demo(store: DemoStore) -> Iterator[DemoStore]:
    yield store
    move(store, 0)


def move(store: DemoStore, days: int) -> None:
    client = connect(store.config, user=store.config.clickhouse.collector_user, endpoint=store.endpoint)
    with closing(client):
        set_clock(client, store.config, NOW - timedelta(days=days))
        roll_up(client, store.config)


STORIES = {
    0: {
        ("bank.example", "suspected-downgrade"),
        ("bank.example", "mail-refused"),
        ("clinic.example", "timeout"),
        ("clinic.example", "mx-certificate-expiring"),
        ("travel.example", "mta-sts-not-applied"),
        ("travel.example", "dmarc-forged-delivered"),
        ("clinic.example", "dmarc-unknown-source"),
        ("news.example", "dmarc-own-failing"),
        ("oldbank.example", "parked-forged-delivered"),
        ("oldbank.example", "parked-unprotected"),
    },
    4: {("univ.example", "dane"), ("univ.example", "mx-tlsa-mismatch")},
    8: {("shop.example", "certificate"), ("shop.example", "mx-certificate-invalid")},
    12: {("news.example", "policy-unfetchable"), ("news.example", "mta-sts-policy")},
    20: {("travel.example", "certificate"), ("travel.example", "mx-certificate-invalid")},
}


@pytest.mark.parametrize("days_ago", STORIES)
def test_all_agree_on_the_demos_stories(demo: DemoStore, tmp_path: Path, days_ago: int) -> None:
    move(demo, days_ago)
    found = agree(demo, tmp_path, days_ago=days_ago)
    assert {(domain, cause) for domain, cause, _ in found} >= STORIES[days_ago]
    assert "library.example" not in {domain for domain, _, severity in found if severity != "info"}


FAILURES = (
    "certificate-expired",
    "starttls-not-supported",
    "sts-policy-fetch-error",
    "tlsa-invalid",
    "dnssec-invalid",
    "validation-failure",
)


SERVER_FAULTS = ("", "", "certificate-expired", "starttls-not-offered", "timeout", "greeting-refused", "tlsa-mismatch")
POLICY_FAULTS = ("", "", "policy-status", "certificate-expired", "mx-not-covered", "policy-differs", "dns-error")
RECORD_FAULTS = ("", "", "no-record", "record-invalid", "dns-error", "null-mx")


def probed(chance: Random, domain: str) -> Iterator[dict[str, object]]:
    """Three rounds of probes of two servers, a policy and two records; most faults last."""
    lasting = {place: chance.randrange(10) < 8 for place in ("mx1", "mx2", "policy", "mx", "spf")}
    first: dict[str, str] = {}

    def fault(place: str, faults: tuple[str, ...]) -> str:
        drawn = chance.choice(faults)
        return first.setdefault(place, drawn) if lasting[place] else drawn

    days = chance.choice((5, 80))
    mode, hosted = chance.choice(("enforce", "testing")), chance.random() < 0.5
    for minutes in (35, 20, 5):
        seen = {"policy_domain": domain, "day": TODAY, "probed_at": NOW - timedelta(minutes=minutes)}
        for server in ("mx1", "mx2"):
            reason = fault(server, SERVER_FAULTS)
            shown = reason not in ("timeout", "starttls-not-offered")
            yield {
                **seen,
                "receiving_mx": f"{server}.{domain}",
                "success": not reason,
                "reason": reason,
                "reachable": reason != "timeout",
                "tlsa": "mismatch" if reason == "tlsa-mismatch" or (shown and first.get("mx2")) else "absent",
                "certificate_not_after": NOW + timedelta(days=days) if shown else None,
            }
        reason = fault("policy", POLICY_FAULTS)
        fetched = reason in ("", "mx-not-covered", "policy-differs")
        nobody = {"receiving_mx": "", "receiving_ip": "::"}
        yield {
            **seen,
            **nobody,
            "probe": "mta-sts",
            "success": not reason,
            "reason": reason,
            "sts_mode": mode if fetched else "",
            "sts_max_age": chance.choice((86_400, 1_209_600)) if fetched else 0,
            "policy_agrees": (reason != "policy-differs") if fetched and hosted else None,
        }
        for record in ("mx", "spf"):
            reason = fault(record, RECORD_FAULTS if record == "mx" else RECORD_FAULTS[:-1])
            yield {**seen, **nobody, "probe": "dns", "record": record, "success": not reason, "reason": reason}


@pytest.mark.parametrize("seed", range(8))
def test_all_agree_on_what_probes_find_at_random(
    storage: Storage, own_store: DemoStore, tmp_path: Path, seed: int
) -> None:
    chance = Random(seed)
    for domain in ("example.com", "example.net"):
        for row in probed(chance, domain):
            storage.put("probe_results", row)
    for cause in chance.sample(("mx-certificate-invalid", "mx-tlsa-mismatch", "policy-unfetchable", "record-wrong"), 1):
        known = Acknowledgement(
            policy_domain="example.com", cause=cause, subject="", until=TODAY + timedelta(days=3), because="known"
        )
        acknowledge(storage.client(), storage.config, known)
    agree(own_store, tmp_path)


@pytest.mark.parametrize("seed", range(8))
def test_all_agree_on_stories_made_up_at_random(
    storage: Storage, own_store: DemoStore, tmp_path: Path, seed: int
) -> None:
    chance = Random(seed)
    for domain in ("example.com", "example.net"):
        for number in range(chance.randrange(4)):
            reports = Reports(storage=storage, newcomers=chance.random() < 0.3)
            for day in sorted(chance.sample(range(1, 12), chance.randrange(1, 8))):
                trouble = chance.choice(FAILURES)
                failed = chance.choice((0, 0, 3, 30, 300))
                mode = chance.choice(("enforce", "testing"))
                arrived = NOW if reports.newcomers else None
                reports.add(
                    domain,
                    day=day,
                    organization=f"Sender{number}",
                    successful=chance.choice((0, 5, 500)),
                    failures={trouble: failed} if failed else None,
                    receiving_mx=chance.choice(("mx1.example.com", "mx2.example.com", "")),
                    sts_mode=mode,
                    arrived=arrived,
                )
        for address in chance.sample(("192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1"), chance.randrange(4)):
            for day in chance.sample(range(1, 28), chance.randrange(1, 8)):
                passed, disposition = chance.choice(((True, "none"), (False, "none"), (False, "reject")))
                record = {
                    "policy_domain": domain,
                    "header_from": domain,
                    "day": days_ago(day),
                    "report_key": chance.randrange(2**63),
                    "source_ip": f"::ffff:{address}",
                    "messages": chance.choice((1, 30, 900)),
                    "passed": passed,
                    "spf_aligned": passed,
                    "dkim_aligned": False,
                    "disposition": disposition,
                    "published_policy": chance.choice(("none", "reject")),
                    "organization": f"Sender{chance.randrange(3)}",
                }
                storage.put("dmarc_records", record, known=chance.random() < 0.7)
    for cause in chance.sample(("certificate", "dane", "mail-refused", "failure-ratio", "dmarc-own-failing"), 2):
        known = Acknowledgement(
            policy_domain="example.com",
            cause=cause,
            subject="",
            until=TODAY + timedelta(days=3),
            because="known",
        )
        acknowledge(storage.client(), storage.config, known)
    agree(own_store, tmp_path)
