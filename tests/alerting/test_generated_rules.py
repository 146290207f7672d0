"""The rules about domains are what the table says, and every cause has its alert."""

from __future__ import annotations

from pathlib import Path

from reports.alerts.rules import RULE_FILES
from reports.alerts.table import ALERTS
from reports.causes import FROM_DMARC_REPORTS, FROM_PROBES, FROM_TLS_REPORTS, Severity
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
    ("mx-not-covered", Severity.CRITICAL),
    ("mx-not-covered", Severity.WARNING),
    ("mx-certificate-invalid", Severity.CRITICAL),
    ("mx-certificate-invalid", Severity.WARNING),
    ("parked-unprotected", Severity.WARNING),
    ("parked-unprotected", Severity.INFO),
}
KINDS = {"tls": FROM_TLS_REPORTS, "dmarc": FROM_DMARC_REPORTS, "outside": FROM_PROBES}


def test_the_committed_rules_are_those_of_the_table() -> None:
    again = "run: python -m reports.alerts"
    for file in RULE_FILES:
        assert (RULES / f"{file.name}.yml").read_text(encoding="utf-8") == file.rules, again
        assert (RULES / "tests" / f"{file.name}.yml").read_text(encoding="utf-8") == file.tests, again
    assert sorted(alert.name for file in RULE_FILES for alert in file.alerts) == sorted(alert.name for alert in ALERTS)


def test_every_cause_of_every_severity_has_one_alert() -> None:
    about = [(alert.cause, alert.severity) for alert in ALERTS]
    assert len(set(about)) == len(about)
    of_kind = {kind: {cause.term for cause in causes} for kind, causes in KINDS.items()}
    of_kind["tls"] |= {category.value for category in Category}
    assert {kind: {alert.cause for alert in ALERTS if alert.kind == kind} for kind in KINDS} == of_kind
    assert set(about) >= SEVERAL_SEVERITIES
    assert len(about) == sum(map(len, of_kind.values())) + len(SEVERAL_SEVERITIES) // 2


def test_what_receivers_refuse_for_us_never_pages() -> None:
    pages = {alert.cause for alert in ALERTS if alert.kind == "dmarc" and alert.severity is Severity.CRITICAL}
    assert pages == {"dmarc-own-failing"}


def test_an_alert_is_as_severe_as_its_cause() -> None:
    severities = {cause.term: cause.severity for causes in KINDS.values() for cause in causes}
    several = {cause for cause, _ in SEVERAL_SEVERITIES}
    assert {(alert.cause, alert.severity) for alert in ALERTS if alert.cause in severities} - SEVERAL_SEVERITIES == {
        (cause, severity) for cause, severity in severities.items() if cause not in several
    }
