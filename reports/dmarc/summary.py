"""The short answer about mail from us, domain by domain: how much of our own mail passed DMARC, and who sent the rest.

Own mail is what is aligned, forwarded or fails from a sender of ours (dmarc_sources_daily). What nothing shows to be
ours stands beside it: forgeries that receivers refused are no failure of ours.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from reports.report_days import OF_DOMAIN, ReportDays, share

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client

_MOST = 3  # sources that are named per domain and pile
_MARK = "if(sum(counted_messages) = 0, ', not in alerts', '')"  # where no reporter that counts saw it


class Source(NamedTuple):
    """A source of messages that did not pass."""

    name: str
    reason: str  # what is wrong with most of them
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcSummary:
    """What receivers say about mail from one domain over some report days."""

    policy_domain: str
    messages: int
    passed_messages: int
    own_messages: int
    unknown_delivered: int  # messages that nothing shows to be ours, and that were neither refused nor quarantined
    quarantined_messages: int
    rejected_messages: int
    earlier_pass_rate: float | None  # of own mail, over as many days before
    last_report_day: date
    policy: str  # p as the latest report found it, of reporters that count if there are any
    failing: tuple[Source, ...]  # of ours, the largest few
    unknown: tuple[Source, ...]  # perhaps forged, the largest few

    @property
    def unknown_messages(self) -> int:
        """Messages that nothing shows to be ours."""
        return self.messages - self.own_messages

    @property
    def pass_rate(self) -> float | None:
        """Share of own mail that passed DMARC, 0 to 1; None without own mail."""
        return share(self.passed_messages, self.own_messages)

    @property
    def trend(self) -> float | None:
        """Change of the pass rate against the days before, in points of 1; None if either is unknown."""
        if self.pass_rate is None or self.earlier_pass_rate is None:
            return None
        return self.pass_rate - self.earlier_pass_rate


def summarize(
    client: Client, *, days: int, domain: str | None = None, end: date | None = None
) -> dict[str, DmarcSummary]:
    """By domain, those that there are DMARC reports about: over so many complete report days, those before `end`.

    That is today by default.
    """
    ask = ReportDays(client, days=days, domain=domain, end=end).ask

    sources: defaultdict[tuple[str, str], list[Source]] = defaultdict(list)
    for name, pile, source, reason, messages in ask(
        f"SELECT policy_domain, pile, concat(source, {_MARK}), argMax(reason, daily.messages),"
        " sum(daily.messages) AS failed"
        " FROM dmarc_sources_daily AS daily"
        f" WHERE day >= {{start:Date}} AND day < {{end:Date}} AND {OF_DOMAIN} AND pile IN ('ours-failing', 'unknown')"
        " GROUP BY policy_domain, pile, source HAVING failed > 0 ORDER BY failed DESC, source"
        f" LIMIT {_MOST} BY policy_domain, pile"
    ):
        sources[name, pile].append(Source(source, reason, int(messages)))
    policies = dict(
        ask(
            "SELECT policy_domain, argMax(p, (counts, period_end, report_key)) FROM dmarc_report_log"
            " LEFT JOIN dmarc_reporters USING (policy_domain, reporter, trust)"
            f" WHERE day < {{end:Date}} AND published_domain = policy_domain AND {OF_DOMAIN} GROUP BY policy_domain"
        )
    )
    inside = "day >= {start:Date}"
    return {
        name: DmarcSummary(
            policy_domain=name,
            messages=int(messages),
            passed_messages=int(passed),
            own_messages=int(own),
            unknown_delivered=int(delivered),
            quarantined_messages=int(quarantined),
            rejected_messages=int(rejected),
            earlier_pass_rate=share(int(earlier_passed), int(earlier_own)),
            last_report_day=last,
            policy=policies.get(name, ""),
            failing=tuple(sources[name, "ours-failing"]),
            unknown=tuple(sources[name, "unknown"]),
        )
        for name, messages, passed, own, delivered, quarantined, rejected, earlier_own, earlier_passed, last in ask(
            f"SELECT policy_domain, sumIf(messages, {inside}), sumIf(passed_messages, {inside}),"
            f" sumIf(messages, pile != 'unknown' AND {inside}),"
            f" sumIf(delivered_messages, pile = 'unknown' AND {inside}),"
            f" sumIf(quarantined_messages, {inside}), sumIf(rejected_messages, {inside}),"
            f" sumIf(messages, pile != 'unknown' AND NOT {inside}), sumIf(passed_messages, NOT {inside}), max(day)"
            f" FROM dmarc_sources_daily WHERE day >= {{before:Date}} AND day < {{end:Date}} AND {OF_DOMAIN}"
            " GROUP BY policy_domain"
        )
    }
