"""Reading a digest out of the database: from the views and summaries that the CLI and the dashboards ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mailposture.clickhouse.parameters import names
from reports.attention import read_attention
from reports.causes import Severity
from reports.digest.changes import read_changes
from reports.digest.days import passing, read_days
from reports.digest.digest import Digest, DomainWeek, Totals, is_known
from reports.digest.problems import problems_of
from reports.digest.reporting import read_dmarc_reporters, read_tls_reporters
from reports.digest.verdict import verdict
from reports.digest.week import DAYS
from reports.dmarc import source_questions
from reports.dmarc import summary as dmarc_summary
from reports.report_days import ReportDays
from reports.tls.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from clickhouse_connect.driver import Client

    from reports.attention import Needed
    from reports.digest.week import Week

_ABOUT_SOURCES: Final = ("dmarc-own-failing", "dmarc-unknown-source")
_MOST_ACTIONS: Final = 50  # domains whose sources are looked at one by one


def read_digest(client: Client, week: Week, *, domains: Collection[str] | None = None, scope: str = "") -> Digest:
    """The digest of some configured domains, or of all; `scope` is what these are called."""

    def ours(domain: str) -> bool:
        return domains is None or domain in domains

    # Of one domain the database is asked for that alone.
    only = next(iter(domains)) if domains is not None and len(domains) == 1 else None
    summaries = [each for each in summarize(client, days=DAYS, end=week.end, domain=only) if ours(each.policy_domain)]
    dmarc = dmarc_summary.summarize(client, days=DAYS, end=week.end, domain=only)
    now = [each for summary in summaries for each in summary.attention]
    earlier = [each for each in read_attention(client, domain=only, end=week.start) if ours(each.policy_domain)]
    problems = problems_of(now, actions=_read_actions(client, week, now))
    waiting = tuple(each for each in problems if each.acknowledged_until is None)
    days = read_days(client, week, domain=only)
    lines = tuple(
        DomainWeek(
            policy_domain=summary.policy_domain,
            tls=summary,
            dmarc=dmarc.get(summary.policy_domain),
            tls_days=days.of("tls", summary.policy_domain),
            own_mail_days=days.of("dmarc", summary.policy_domain),
        )
        for summary in summaries
    )
    totals = _totals(lines)
    return Digest(
        week=week,
        scope=scope,
        verdict=verdict(waiting, domains=[each.policy_domain for each in lines], known=is_known(lines, totals)),
        problems=tuple(each for each in waiting if each.severity is not Severity.INFO),
        notes=tuple(each for each in waiting if each.severity is Severity.INFO),
        acknowledged=tuple(each for each in problems if each.acknowledged_until is not None),
        changes=replace(
            read_changes(client, week, now=now, earlier=earlier, ours=ours),
            passing=passing(lines, week, known=(*now, *earlier)),
        ),
        totals=totals,
        domains=lines,
        tls_reporters=read_tls_reporters(client, week, domains),
        dmarc_reporters=read_dmarc_reporters(client, week, domains),
    )


def _read_actions(client: Client, week: Week, needed: Iterable[Needed]) -> dict[tuple[str, str], str]:
    """By domain and source what `mailposture senders` says to do about it."""
    domains = list(dict.fromkeys(each.policy_domain for each in needed if each.cause in _ABOUT_SOURCES))
    if not domains:
        return {}
    some = names("domains", domains[:_MOST_ACTIONS])
    where = f"day >= {{start:Date}} AND day < {{end:Date}} AND policy_domain IN {some.sql}"
    ask = ReportDays(client, days=DAYS, end=week.end, more=some.parameters).ask
    rows = ask(f"SELECT policy_domain, source, action FROM ({source_questions.to_do(where)})")
    return {(domain, source): action for domain, source, action in rows}


def _totals(domains: Iterable[DomainWeek]) -> Totals:
    known = tuple(domains)
    dmarc = [each.dmarc for each in known if each.dmarc is not None]
    return Totals(
        sessions=sum(each.tls.sessions for each in known),
        sessions_with_tls=sum(each.tls.successful_sessions for each in known),
        own_messages=sum(each.own_messages for each in dmarc),
        passed_messages=sum(each.passed_messages for each in dmarc),
        forgeries_blocked=sum(each.unknown_messages - each.unknown_delivered for each in dmarc),
        forgeries_delivered=sum(each.unknown_delivered for each in dmarc),
    )
