"""The short answer, domain by domain: how much of the mail was encrypted, and if not all, whose, where and why."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.attention import read_attention
from reports.caption import caption
from reports.causes import Severity
from reports.report_days import OF_DOMAIN, ReportDays, share

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from clickhouse_connect.driver import Client

    from reports.attention import Needed

_SEVERITIES = list(Severity)  # the worst first
_MOST = 3  # causes, servers and senders that are named per domain
_SENDER = caption()
_BY_SENDER = "GROUP BY policy_domain, reporter, reporter_proven"
_NOT_COUNTING = "SELECT policy_domain, reporter, trust FROM tls_reporters WHERE NOT counts"
_MARK = f"if(min((policy_domain, reporter, trust) IN ({_NOT_COUNTING})), ', not in alerts', '')"


@dataclass(frozen=True, slots=True)
class Share:
    """Something that sessions are broken down by, and how many of them."""

    name: str
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainSummary:
    """What senders say about one domain over some report days."""

    policy_domain: str
    successful_sessions: int
    failed_sessions: int
    earlier_success_rate: float | None  # over as many days before
    last_report_day: date | None
    categories: tuple[Share, ...]
    receiving_servers: tuple[Share, ...]
    senders: tuple[Share, ...]
    attention: tuple[Needed, ...]  # what needs attention today, whatever the days
    parked: bool = False  # takes no mail, so no reports are expected

    @property
    def sessions(self) -> int:
        return self.successful_sessions + self.failed_sessions

    @property
    def success_rate(self) -> float | None:
        """Share of sessions with TLS, 0 to 1; None without sessions."""
        return share(self.successful_sessions, self.sessions)

    @property
    def trend(self) -> float | None:
        """Change of the success rate against the days before, in points of 1; None if either is unknown."""
        if self.success_rate is None or self.earlier_success_rate is None:
            return None
        return self.success_rate - self.earlier_success_rate


def summarize(client: Client, *, days: int, domain: str | None = None, end: date | None = None) -> list[DomainSummary]:
    """Summaries of the configured domains (or one of them) over so many report days, the worst first.

    The days are the complete ones before `end`, which is today by default. What needs attention is as of that day:
    today it is what alerts fire for.
    """
    ask = ReportDays(client, days=days, domain=domain, end=end).ask
    inside = f"day >= {{start:Date}} AND day < {{end:Date}} AND {OF_DOMAIN}"

    sessions = {
        name: (
            int(successful),
            int(failed),
            share(int(earlier_successful), int(earlier_successful) + int(earlier_failed)),
        )
        for name, successful, failed, earlier_successful, earlier_failed in ask(
            "SELECT policy_domain,"
            " sumIf(successful_sessions, day >= {start:Date}), sumIf(failed_sessions, day >= {start:Date}),"
            " sumIf(successful_sessions, day < {start:Date}), sumIf(failed_sessions, day < {start:Date})"
            " FROM tls_domain_daily"
            f" WHERE day >= {{before:Date}} AND day < {{end:Date}} AND {OF_DOMAIN} GROUP BY policy_domain"
        )
    }
    last_days = dict(ask(f"SELECT policy_domain, last_report_day FROM tls_freshness WHERE {OF_DOMAIN}"))
    parked = {name for (name,) in ask(f"SELECT policy_domain FROM domains WHERE parked AND {OF_DOMAIN}")}
    failures = f"sum(failed_sessions) AS failed FROM tls_failures_daily WHERE {inside}"
    categories = _shares(ask(f"SELECT policy_domain, category, {failures} GROUP BY 1, 2 HAVING failed > 0"))
    servers = _shares(
        ask(f"SELECT policy_domain, receiving_mx, {failures} AND receiving_mx != '' GROUP BY 1, 2 HAVING failed > 0")
    )
    senders = _shares(
        ask(
            f"SELECT policy_domain, concat({_SENDER}, {_MARK}), sum(failed_sessions) AS failed"
            f" FROM tls_sender_daily WHERE {inside} {_BY_SENDER} HAVING failed > 0"
        )
    )
    attention: defaultdict[str, list[Needed]] = defaultdict(list)
    for needed in read_attention(client, domain=domain, end=end):
        attention[needed.policy_domain].append(needed)
    summaries = []
    for name in sorted(set(sessions) | set(last_days)):
        successful, failed, earlier = sessions.get(name, (0, 0, None))
        summaries.append(
            DomainSummary(
                policy_domain=name,
                successful_sessions=successful,
                failed_sessions=failed,
                earlier_success_rate=earlier,
                last_report_day=last_days.get(name),
                categories=categories.get(name, ()),
                receiving_servers=servers.get(name, ()),
                senders=senders.get(name, ()),
                attention=tuple(attention.get(name, ())),
                parked=name in parked,
            )
        )
    return sorted(summaries, key=_urgency)


def _urgency(summary: DomainSummary) -> tuple[int, float]:
    """The least is the most urgent: by what waits for attention, then by the share of mail without TLS."""
    worst = min((_SEVERITIES.index(needed.severity) for needed in summary.attention if needed.waits), default=9)
    return worst, 2.0 if summary.success_rate is None else summary.success_rate


def _shares(rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[Share, ...]]:
    """Rows of (domain, name, sessions) → the largest few per domain."""
    by_domain: defaultdict[str, list[Share]] = defaultdict(list)
    for domain, name, sessions in rows:
        by_domain[domain].append(Share(name, int(sessions)))
    return {
        domain: tuple(sorted(shares, key=lambda share: (-share.sessions, share.name))[:_MOST])
        for domain, shares in by_domain.items()
    }
