"""The files that Prometheus and Alertmanager read as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from alert_servers import alertmanager, get, post
from eventually import eventually
from programs import program

if TYPE_CHECKING:
    from conftest import Rule

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "provisioning" / "prometheus" / "prometheus.yml"
ALERTMANAGER = ROOT / "provisioning" / "alertmanager" / "alertmanager.yml"


def run(*command: str | Path) -> str:
    """What a program says; fail unless it is content."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_takes_its_configuration_with_all_rules(tmp_path: Path, rules: list[Rule]) -> None:
    shutil.copy(PROMETHEUS, tmp_path)
    shutil.copytree(ROOT / "alerting-rules", tmp_path / "rules")
    said = run(program("promtool"), "check", "config", tmp_path / "prometheus.yml")
    assert sum(map(int, re.findall(r"(\d+) rules found", said))) == len(rules)


def test_jobs_that_rules_name_are_scraped(rules: list[Rule]) -> None:
    jobs = {job["job_name"] for job in yaml.safe_load(PROMETHEUS.read_text())["scrape_configs"]}
    named = {job for rule in rules for job in re.findall(r'job="([^"]+)"', rule.expression)}
    assert named
    assert named <= jobs


def test_the_label_for_links_reaches_no_alert() -> None:
    config = yaml.safe_load(PROMETHEUS.read_text())
    dropped = {rule["regex"] for rule in config["alerting"]["alert_relabel_configs"] if rule["action"] == "labeldrop"}
    assert set(config["global"]["external_labels"]) == dropped


def test_amtool_finds_no_fault() -> None:
    assert "FAILED" not in run(program("amtool"), "check-config", ALERTMANAGER)


def test_no_secret_is_in_the_file() -> None:
    keys = re.findall(r"^\s*(?:- )?(\w+):", ALERTMANAGER.read_text(), re.MULTILINE)
    secret = re.compile(r"password|token|key|api_url|credentials")
    assert [key for key in keys if secret.search(key) and not key.endswith("_file")] == []


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=MtaStsMailRefused severity=critical team=mail policy_domain=shop.example", "page"),
        ("alertname=MtaStsMailRefused severity=critical team=web policy_domain=shop.example", "page-web"),
        ("alertname=TlsFailureRatioHigh severity=warning team=web policy_domain=shop.example", "chat"),
        ("alertname=TlsReportsLate severity=info team=web policy_domain=shop.example", "mail"),
        ("alertname=MailpostureStorageDown severity=critical team=mail", "page"),
        ("alertname=Watchdog severity=none team=mail", "dead-mans-switch"),
        ("alertname=SomethingElse severity=unheard-of team=mail", "mail"),
    ],
)
def test_alerts_are_routed_by_severity_and_team(labels: str, receiver: str) -> None:
    command = [program("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}"]
    run(*command, f"--verify.receivers={receiver}", *labels.split())


def test_every_rule_has_a_route_that_fits_its_severity(rule: Rule) -> None:
    receivers = {"critical": "page", "warning": "chat", "info": "mail", "none": "dead-mans-switch"}
    labels = [f"{name}={value}" for name, value in {"team": "mail", **rule.labels, "alertname": rule.name}.items()]
    command = [program("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}"]
    run(*command, f"--verify.receivers={receivers[rule.labels['severity']]}", *labels)


def test_alerts_that_are_inhibited_or_inhibit_exist(rules: list[Rule]) -> None:
    names = {rule.name for rule in rules}
    config = yaml.safe_load(ALERTMANAGER.read_text())
    matchers = [matcher for rule in config["inhibit_rules"] for side in rule.values() for matcher in side]
    named = re.findall(r"[A-Z]\w+", " ".join(matcher for matcher in matchers if matcher.startswith("alertname")))
    assert named
    assert set(named) <= names


@pytest.mark.slow
def test_the_cause_silences_its_consequences_on_the_same_domain_only(tmp_path: Path) -> None:
    def alert(name: str, **labels: str) -> dict[str, dict[str, str]]:
        return {"labels": {"alertname": name, "severity": "warning", "team": "web", **labels}, "annotations": {}}

    with alertmanager(ALERTMANAGER, tmp_path) as url:
        alerts = [
            alert("TlsCertificateRejected", policy_domain="shop.example"),
            alert("TlsFailureRatioHigh", policy_domain="shop.example"),
            alert("TlsFailureRatioHigh", policy_domain="other.example"),
            alert("MtaStsMailRefused", policy_domain="shop.example"),
            alert("MailpostureStorageDown", job="mailposture-collector"),
            alert("MailpostureSpoolNotDraining", job="mailposture-collector"),
            alert("TlsReportsMissing", policy_domain="shop.example"),
        ]
        post(f"{url}/api/v2/alerts", alerts)

        def statuses() -> dict[tuple[str, str], bool]:
            return {
                (found["labels"]["alertname"], found["labels"].get("policy_domain", "")): bool(
                    found["status"]["inhibitedBy"]
                )
                for found in get(f"{url}/api/v2/alerts") or []
                if found["status"]["state"] != "unprocessed"
            }

        expected = {("TlsFailureRatioHigh", "shop.example"), ("MailpostureSpoolNotDraining", "")}
        eventually("all alerts processed", lambda: len(statuses()) == len(alerts))
        eventually("inhibition", lambda: {key for key, inhibited in statuses().items() if inhibited} == expected)
