"""How each day of a week was, judged as attention judges: by the thresholds of the domain."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from mailposture.clickhouse.thresholds import too_many
from reports.digest.digest import Day, Passing
from reports.digest.week import DAYS
from reports.report_days import OF_DOMAIN, ReportDays

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from clickhouse_connect.driver import Client

    from reports.attention import Needed
    from reports.digest.digest import DomainWeek
    from reports.digest.week import Week


class Days:
    """By kind and domain."""

    def __init__(self, week: Week) -> None:
        self._week = week
        self._found: defaultdict[tuple[str, str], dict[date, Day]] = defaultdict(dict)

    def add(self, kind: str, domain: str, day: date, known: Day) -> None:
        self._found[kind, domain][day] = known

    def of(self, kind: str, domain: str) -> tuple[Day | None, ...]:
        """The seven days, oldest first."""
        known = self._found.get((kind, domain), {})
        return tuple(known.get(day) for day in self._week.days)


def read_days(client: Client, week: Week, *, domain: str | None) -> Days:
    """Of all domains, or of one. What forwarders and mailing lists broke is in the share, and makes no day bad."""
    ask = ReportDays(client, days=DAYS, end=week.end, domain=domain).ask
    days = Days(week)
    for kind, sql in (("tls", _TLS), ("dmarc", _DMARC)):
        for name, day, succeeded, of, bad in ask(sql):
            if of:
                days.add(kind, name, day, Day(share=int(succeeded) / int(of), bad=bool(bad)))
    return days


def passing(domains: Iterable[DomainWeek], week: Week, *, known: Iterable[Needed]) -> tuple[Passing, ...]:
    """Bad days that nothing which needed attention at the end of this week or of the one before is about."""
    named = {(each.policy_domain, "dmarc" if each.kind == "dmarc" else "tls") for each in known if each.waits}
    return tuple(
        Passing(each.policy_domain, kind, bad)
        for each in domains
        for kind, days in (("tls", each.tls_days), ("dmarc", each.own_mail_days))
        if (each.policy_domain, kind) not in named
        and (bad := tuple(day for day, how in zip(week.days, days, strict=True) if how and how.bad))
    )


_JUDGED: Final = f"SELECT policy_domain, day, succeeded, of, {too_many('failed', 'of')}"
_INSIDE: Final = (
    f"WHERE day >= {{start:Date}} AND day < {{end:Date}} AND {OF_DOMAIN} GROUP BY policy_domain, day"
    ") AS days INNER JOIN domains USING (policy_domain)"
)
_TLS: Final = (
    f"{_JUDGED} FROM (SELECT policy_domain, day, sum(successful_sessions) AS succeeded, sum(failed_sessions) AS failed,"
    f" succeeded + failed AS of FROM tls_domain_daily {_INSIDE}"
)
_DMARC: Final = (
    f"{_JUDGED} FROM (SELECT policy_domain, day, sum(passed_messages) AS succeeded,"
    " sumIf(messages, pile = 'ours-failing') AS failed, sumIf(messages, pile != 'unknown') AS of"
    f" FROM dmarc_sources_daily {_INSIDE}"
)
