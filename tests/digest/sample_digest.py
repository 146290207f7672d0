"""Digests that need no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from reports.causes import Severity
from reports.digest.digest import Changes, Day, Digest, DomainWeek, Problem, Reporters, Totals, is_known
from reports.digest.verdict import verdict
from reports.digest.week import Week
from reports.tls.summary import DomainSummary

WEEK = Week(date(2026, 11, 23))
NOBODY = Reporters(active=(), stopped=())


def problem(domain: str = "shop.example", severity: Severity = Severity.CRITICAL, **changes: Any) -> Problem:
    known = Problem(
        policy_domain=domain,
        kind="tls",
        cause="certificate",
        severity=severity,
        title="Certificate expired or invalid",
        subjects=("mx1.shop.example",),
        since=date(2026, 11, 20),
        affected=60,
        of=1000,
        detail="",
        action="Renew it: `certbot renew`.",
    )
    return replace(known, **changes)


def domain_week(name: str = "shop.example") -> DomainWeek:
    summary = DomainSummary(
        policy_domain=name,
        successful_sessions=990,
        failed_sessions=10,
        earlier_success_rate=1.0,
        last_report_day=date(2026, 11, 22),
        categories=(),
        receiving_servers=(),
        senders=(),
        attention=(),
    )
    days = (Day(1.0, bad=False), None, Day(0.98, bad=False), Day(0.5, bad=True), *(Day(1.0, bad=False),) * 3)
    return DomainWeek(policy_domain=name, tls=summary, dmarc=None, tls_days=days, own_mail_days=(None,) * 7)


def digest(*problems: Problem, domains: int = 1, **changes: Any) -> Digest:
    totals = Totals(
        sessions=1000,
        sessions_with_tls=990,
        own_messages=0,
        passed_messages=0,
        forgeries_blocked=0,
        forgeries_delivered=0,
    )
    lines = tuple(domain_week(f"d{number}.example" if number else "shop.example") for number in range(domains))
    known = Digest(
        week=WEEK,
        scope="",
        verdict=verdict(problems, domains=[each.policy_domain for each in lines], known=is_known(lines, totals)),
        problems=problems,
        notes=(),
        acknowledged=(),
        changes=Changes(),
        totals=totals,
        domains=lines,
        tls_reporters=NOBODY,
        dmarc_reporters=NOBODY,
    )
    return replace(known, **changes)
