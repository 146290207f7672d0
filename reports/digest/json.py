"""A digest as JSON, whole: nothing is left out for brevity."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.digest.digest import Day, Digest, DomainWeek, Reporters


def as_json(digest: Digest) -> str:
    """Rates are shares from 0 to 1, days are ISO dates; names are as they are in reports, unescaped and uncut."""
    week = digest.week
    record = {
        "week": {"name": week.name, "first_day": week.start, "last_day": week.last_day},
        "scope": digest.scope,
        "verdict": digest.verdict,
        "quiet": digest.quiet,
        "attention": [asdict(each) for each in (*digest.problems, *digest.notes, *digest.acknowledged)],
        "changes": {
            "new": [asdict(each) for each in digest.changes.new],
            "ended": [asdict(each) for each in digest.changes.ended],
            "came_and_went": [each._asdict() for each in digest.changes.passing],
            "modes_and_policies": [each._asdict() for each in digest.changes.turned],
            "records": [each._asdict() for each in digest.changes.records],
            "certificates": [each._asdict() for each in digest.changes.certificates],
            "ready": [each._asdict() for each in digest.changes.ready],
        },
        "totals": asdict(digest.totals),
        "domains": [_domain(each) for each in digest.domains],
        "tls_reporters": _reporters(digest.tls_reporters),
        "dmarc_reporters": _reporters(digest.dmarc_reporters),
    }
    return json.dumps(record, indent=2, default=_day)


def _domain(each: DomainWeek) -> dict[str, Any]:
    tls, dmarc = each.tls, each.dmarc
    return {
        "policy_domain": each.policy_domain,
        "sessions": tls.sessions,
        "success_rate": tls.success_rate,
        "success_rate_trend": tls.trend,
        "days": [_of_day(day) for day in each.tls_days],
        "own_messages": dmarc.own_messages if dmarc else None,
        "pass_rate": dmarc.pass_rate if dmarc else None,
        "pass_rate_trend": dmarc.trend if dmarc else None,
        "own_mail_days": [_of_day(day) for day in each.own_mail_days],
        "policy": dmarc.policy if dmarc else None,
        "forgeries_blocked": each.forgeries_blocked,
        "forgeries_delivered": dmarc.unknown_delivered if dmarc else None,
    }


def _of_day(day: Day | None) -> dict[str, Any] | None:
    return day._asdict() if day else None


def _reporters(reporters: Reporters) -> dict[str, Any]:
    return {
        "active": [each._asdict() for each in reporters.active],
        "stopped": [each._asdict() for each in reporters.stopped],
    }


def _day(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")
