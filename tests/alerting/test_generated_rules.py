"""The rules about reports are what the table says, and every cause has its alert."""

from __future__ import annotations

from pathlib import Path

from reports.alerts.rules import rules as rule_file
from reports.alerts.rules import tests as rule_tests
from reports.alerts.table import ALERTS
from reports.causes import FROM_DMARC_REPORTS, FROM_TLS_REPORTS, Severity
from reports.tls.failures import Category

RULES = Path(__file__).parents[2] / "alerting-rules"
SEVERAL_SEVERITIES = {
    ("suspected-downgrade", Severity.CRITICAL),
    ("suspected-downgrade", Severity.WARNING),
    ("mta-sts-not-applied", Severity.WARNING),
    ("mta-sts-not-applied", Severity.INFO),
    ("dmarc-own-failing", Severity.CRITICAL),
    ("dmarc-own-failing", Severity.WARNING),
    ("dmarc-forgery-surge", Severity.WARNING),
    ("dmarc-forgery-surge", Severity.INFO),
}
OF_REPORTS = [alert for alert in ALERTS if alert.kind != "outside"]
FROM_REPORTS = (*FROM_TLS_REPORTS, *FROM_DMARC_REPORTS)


def test_the_committed_rules_are_those_of_the_table() -> None:
    again = "run: python -m reports.alerts"
    assert (RULES / "reports.yml").read_text(encoding="utf-8") == rule_file(), again
    assert (RULES / "tests" / "reports.yml").read_text(encoding="utf-8") == rule_tests(), again


def test_every_cause_that_reports_can_have_has_one_alert() -> None:
    about = [(alert.cause, alert.severity) for alert in OF_REPORTS]
    assert len(set(about)) == len(about)
    causes = {cause.term for cause in FROM_REPORTS} | {category.value for category in Category}
    assert {cause for cause, _ in about} == causes
    assert set(about) >= SEVERAL_SEVERITIES
    assert len(about) == len(causes) + len(SEVERAL_SEVERITIES) // 2
    assert {alert.cause for alert in ALERTS if alert.kind == "dmarc"} == {cause.term for cause in FROM_DMARC_REPORTS}


def test_what_receivers_refuse_for_us_never_pages() -> None:
    pages = {alert.cause for alert in ALERTS if alert.kind == "dmarc" and alert.severity is Severity.CRITICAL}
    assert pages == {"dmarc-own-failing"}


def test_an_alert_is_as_severe_as_its_cause() -> None:
    severities = {cause.term: cause.severity for cause in FROM_REPORTS}
    several = {cause for cause, _ in SEVERAL_SEVERITIES}
    assert {(alert.cause, alert.severity) for alert in ALERTS if alert.cause in severities} - SEVERAL_SEVERITIES == {
        (cause, severity) for cause, severity in severities.items() if cause not in several
    }
