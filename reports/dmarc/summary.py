"""The short answer about mail from us, domain by domain: how much passed DMARC, and whence came what did not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from reports.report_days import OF_DOMAIN, ReportDays, share

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client

_MOST = 3  # sources that are named per domain


class FailingSource(NamedTuple):
    """An address that sent messages which did not pass."""

    address: str  # empty if the reports have no usable one
    header_from: str
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcSummary:
    """What receivers say about mail from one domain over some report days."""

    policy_domain: str
    messages: int
    passed_messages: int
    quarantined_messages: int
    rejected_messages: int
    earlier_pass_rate: float | None  # over as many days before
    last_report_day: date
    policy: str  # p as the latest report found it
    failing: tuple[FailingSource, ...]  # the largest few

    @property
    def pass_rate(self) -> float | None:
        """Share of messages that passed DMARC, 0 to 1; None without messages."""
        return share(self.passed_messages, self.messages)

    @property
    def trend(self) -> float | None:
        """Change of the pass rate against the days before, in points of 1; None if either is unknown."""
        if self.pass_rate is None or self.earlier_pass_rate is None:
            return None
        return self.pass_rate - self.earlier_pass_rate


def summarize(client: Client, *, days: int, domain: str | None = None) -> dict[str, DmarcSummary]:
    """By domain, those that there are DMARC reports about: over so many complete report days, those before today."""
    ask = ReportDays(client, days=days, domain=domain).ask

    failing: defaultdict[str, list[FailingSource]] = defaultdict(list)
    for name, address, header_from, messages in ask(
        "SELECT policy_domain, source_ip, header_from, sum(messages) AS failed FROM dmarc_record_details"
        f" WHERE day >= {{start:Date}} AND day < {{end:Date}} AND {OF_DOMAIN} AND NOT passed GROUP BY 1, 2, 3"
        f" HAVING failed > 0 ORDER BY failed DESC, source_ip LIMIT {_MOST} BY policy_domain"
    ):
        failing[name].append(FailingSource(address, header_from, int(messages)))
    policies = dict(
        ask(
            "SELECT policy_domain, argMax(p, (period_end, report_key)) FROM dmarc_report_log"
            f" WHERE day < {{end:Date}} AND published_domain = policy_domain AND {OF_DOMAIN} GROUP BY policy_domain"
        )
    )
    inside = "day >= {start:Date}"
    return {
        name: DmarcSummary(
            policy_domain=name,
            messages=int(messages),
            passed_messages=int(passed),
            quarantined_messages=int(quarantined),
            rejected_messages=int(rejected),
            earlier_pass_rate=share(int(earlier_passed), int(earlier)),
            last_report_day=last,
            policy=policies.get(name, ""),
            failing=tuple(failing[name]),
        )
        for name, messages, passed, quarantined, rejected, earlier, earlier_passed, last in ask(
            f"SELECT policy_domain, sumIf(messages, {inside}), sumIf(passed_messages, {inside}),"
            f" sumIf(quarantined_messages, {inside}), sumIf(rejected_messages, {inside}),"
            f" sumIf(messages, NOT {inside}), sumIf(passed_messages, NOT {inside}), max(day)"
            f" FROM dmarc_daily WHERE day >= {{before:Date}} AND day < {{end:Date}} AND {OF_DOMAIN}"
            " GROUP BY policy_domain"
        )
    }
