"""Who reports, and who used to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailposture.clickhouse.parameters import names
from reports.caption import caption
from reports.digest.digest import Reporter, Reporters
from reports.report_days import ReportDays

if TYPE_CHECKING:
    from collections.abc import Collection

    from clickhouse_connect.driver import Client

    from reports.digest.week import Week

_USUAL_DAYS: Final = 8  # of the four weeks before, on which a reporter reports that is missed: twice a week


def read_tls_reporters(client: Client, week: Week, domains: Collection[str] | None) -> Reporters:
    """Of TLS reports, in sessions; about these domains, or all."""
    return _read(client, week, domains, "tls_sender_daily", "successful_sessions + failed_sessions")


def read_dmarc_reporters(client: Client, week: Week, domains: Collection[str] | None) -> Reporters:
    """Of DMARC reports, in messages."""
    return _read(client, week, domains, "dmarc_daily", "daily.messages")


def _read(client: Client, week: Week, domains: Collection[str] | None, view: str, amount: str) -> Reporters:
    some = names("domains", sorted(domains or ()))
    among = "" if domains is None else f" AND policy_domain IN {some.sql}"
    ask = ReportDays(client, days=7, end=week.end, more=some.parameters).ask
    rows = ask(
        f"SELECT {caption()} AS name, sumIf({amount}, day >= {{start:Date}}) AS reported, max(day) AS last_day,"
        " uniqExactIf(day, day < {start:Date}) AS earlier_days, max(day) >= {start:Date} AS reports"
        f" FROM {view} AS daily"
        f" WHERE day >= {{start:Date}} - 28 AND day < {{end:Date}}{among}"
        " GROUP BY reporter, reporter_proven ORDER BY reported DESC, earlier_days DESC, name"
    )
    return Reporters(
        active=tuple(Reporter(name, int(number), last) for name, number, last, _, reports in rows if reports),
        stopped=tuple(
            Reporter(name, 0, last) for name, _, last, days, reports in rows if not reports and days >= _USUAL_DAYS
        ),
    )
