"""What needs attention, as the view of that name says: for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.causes import Severity, worst_first

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A cause that needs attention, at one server, sender or record; rows of the view."""

    policy_domain: str
    kind: str  # tls, dmarc, outside
    cause: str
    subject: str  # empty: the whole domain
    severity: Severity
    title: str
    since: date | None
    affected: int  # what the kind counts: reports.kinds.counted
    of: int  # of how many; 0 where that means nothing
    detail: str
    acknowledged_until: date | None  # None: it is not acknowledged
    acknowledged_because: str

    @property
    def acknowledged(self) -> bool:
        return self.acknowledged_until is not None

    @property
    def waits(self) -> bool:
        """Whether it keeps a domain from being called good, as on the dashboards."""
        return not self.acknowledged and self.severity is not Severity.INFO


def read_attention(client: Client, *, domain: str | None = None, end: date | None = None) -> tuple[Needed, ...]:
    """What needs attention today, or as of `end`, of all domains or one.

    The worst comes first, and what is acknowledged last.
    """
    view = "attention" if end is None else "attention_at(end = {end:Date})"
    asked = _ATTENTION.format(view=view, worst_first=worst_first())
    rows = client.query(asked, parameters={"domain": domain or "", "end": end}).result_rows
    return tuple(
        Needed(
            policy_domain=policy_domain,
            kind=kind,
            cause=cause,
            subject=subject,
            severity=Severity(severity),
            title=title,
            since=since,
            affected=affected,
            of=of,
            detail=detail,
            acknowledged_until=until,
            acknowledged_because=because,
        )
        for policy_domain, kind, cause, subject, severity, title, since, affected, of, detail, until, because in rows
    )


_ATTENTION = """
    SELECT policy_domain, kind, cause, subject, severity, title, since, affected, of, detail,
        acknowledged_until, acknowledged_because
    FROM {view} AS needed
    LEFT JOIN (
        SELECT term AS cause, title FROM failure_meanings WHERE kind IN ('category', 'cause')
    ) AS meaning USING (cause)
    WHERE {{domain:String}} = '' OR policy_domain = {{domain:String}}
    ORDER BY acknowledged, {worst_first}, policy_domain, cause, affected DESC,
        subject
"""
