"""Who sends in the name of a domain, and what to do about it, over some complete report days, to read at a terminal.

The same questions as the dashboards ask, so that the answers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.dmarc import source_questions
from reports.report_days import ReportDays, share

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client

_DAYS: Final = "day >= {start:Date} AND day < {end:Date} AND policy_domain = {domain:String}"
_MOST: Final = 200  # rows of each answer


class Sending(NamedTuple):
    """Mail of one source in one pile."""

    source: str
    pile: str
    messages: int
    passed_messages: int
    spf_aligned_messages: int
    dkim_aligned_messages: int
    delivered_messages: int
    quarantined_messages: int
    rejected_messages: int
    reporters: int
    first_day: date
    last_day: date
    evidence: str  # why most of it is in this pile

    @property
    def pass_rate(self) -> float:
        """Share that passes DMARC, 0 to 1."""
        return share(self.passed_messages, self.messages) or 0.0


class ToDo(NamedTuple):
    """A source that fails and is ours, or may be."""

    state: str  # ours-failing, possibly-ours or keeps-coming
    source: str
    failing_messages: int
    title: str  # what is wrong with most of it
    action: str
    evidence: str
    days: int
    last_day: date


class Address(NamedTuple):
    """An address of a source."""

    address: str
    header_from: str
    pile: str
    messages: int
    passed_messages: int
    first_day: date
    last_day: date


class WhyFailing(NamedTuple):
    """A reason why mail of a source fails."""

    pile: str
    reason: str
    title: str
    action: str
    messages: int
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """Who sends in the name of a domain."""

    policy_domain: str
    sources: tuple[Sending, ...]  # what needs a look first
    to_do: tuple[ToDo, ...]
    are_sorted: bool = True  # whether all stored reports are in these


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSource:
    """One of them."""

    policy_domain: str
    source: str
    sources: tuple[Sending, ...]  # by pile
    reasons: tuple[WhyFailing, ...]
    addresses: tuple[Address, ...]


def read_senders(client: Client, domain: str, *, days: int) -> Senders:
    """All sources, those with most messages of each pile if there are very many."""
    ask = ReportDays(client, days=days, domain=domain).ask
    waiting = client.query(
        "SELECT 1 FROM dmarc_sources_kept WHERE policy_domain = {domain:String} AND waiting_since IS NOT NULL",
        parameters={"domain": domain},
    )
    return Senders(
        policy_domain=domain,
        are_sorted=not waiting.result_rows,
        sources=tuple(Sending(*row) for row in ask(_sources(_DAYS))),
        to_do=tuple(
            ToDo(*row)
            for row in ask(
                "SELECT state, source, failing, title, action, why, days, last_day"
                f" FROM ({source_questions.to_do(_DAYS)}) ORDER BY {source_questions.BY_STATE} LIMIT {_MOST}"
            )
        ),
    )


def read_source(client: Client, domain: str, source: str, *, days: int) -> OneSource | None:
    """One source by its name as the others show it, whatever the case; None if it sent nothing in these days."""
    ask = ReportDays(client, days=days, domain=domain, more={"source": source}).ask
    found = tuple(Sending(*row) for row in ask(_sources(f"{_DAYS} AND {_IT}")))
    if not found:
        return None
    return OneSource(
        policy_domain=domain,
        source=found[0].source,
        sources=found,
        reasons=tuple(
            WhyFailing(*row)
            for row in ask(
                "SELECT pile, main_reason, title, action, failing, first_day, last_day"
                f" FROM ({source_questions.reasons(_DAYS, about=_IT)})"
                f" ORDER BY {source_questions.BY_FAILING} LIMIT {_MOST}"
            )
        ),
        addresses=tuple(
            Address(*row)
            for row in ask(
                "SELECT address, header_from, pile, sent, passed, first_day, last_day"
                f" FROM ({source_questions.addresses(f'{_DAYS} AND {_IT}')})"
                f" ORDER BY {source_questions.BY_SENT} LIMIT {_MOST}"
            )
        ),
    )


_IT: Final = "lowerUTF8(source) = lowerUTF8({source:String})"


def _sources(where: str) -> str:
    return (
        "SELECT source, pile, sent, passed, by_spf, by_dkim, delivered, quarantined, rejected, seen_by, first_day,"
        f" last_day, why FROM ({source_questions.sources(where)}) ORDER BY {source_questions.BY_PILE} LIMIT {_MOST}"
    )
