"""What reports say, as one page of gauges: the answers of ClickHouse for the domains of the configuration.

No label value comes from a report. Policy domains come from the configuration, names of MX hosts from what our probes
found in their DNS, the others from closed sets: what is in none of them becomes `other`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from exporter.exposition import Gauge, render
from exporter.questions import QUESTIONS, Question
from mailposture.expectation import expectation
from reports.causes import CAUSES, Severity
from reports.kinds import KINDS

if TYPE_CHECKING:
    from mailposture.config.model import Config

Ask: TypeAlias = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Runs one query with its parameters and returns the rows."""

_OTHER = "other"
_KNOWN: Mapping[str, frozenset[str]] = {
    "kind": frozenset({*(kind.name for kind in KINDS), "outside"}),  # as in the view attention
    "cause": frozenset(CAUSES),
    "severity": frozenset(Severity),
    "standing": frozenset({"established", "known", "newcomer", "by-hand", "post", "unproven"}),
    "pile": frozenset({"aligned", "ours-failing", "forwarded", "unknown"}),
}

_DOMAIN = Gauge(
    name="mailposture_domain_info",
    help="A domain of the configuration and the team that is responsible for it, always 1",
    labels=("policy_domain", "team"),
)
_STALE = Gauge(
    name="mailposture_threshold_stale_seconds",
    help="Time after the end of the last reported day when reports are missing; no series for a parked domain, about "
    "which none are expected",
)


def configured(config: Config) -> str:
    """The gauges that need no report: our domains, their teams, and the thresholds that alert rules compare with."""
    expecting_reports = [domain for domain in config.domains if expectation(config, domain).reports]
    return "".join(
        (
            render(_DOMAIN, (((domain.name, domain.team), 1) for domain in config.domains)),
            render(
                _STALE,
                (((domain.name,), domain.thresholds.stale_after.total_seconds()) for domain in expecting_reports),
            ),
        )
    )


def reported(*, ask: Ask, domains: Collection[str]) -> str:
    """Ask ClickHouse all questions and write down the answers; raises what `ask` raises."""
    samples: dict[Gauge, dict[tuple[str, ...], float]] = defaultdict(dict)
    for question in QUESTIONS:
        _answer(question, ask(question.sql, {}), domains, samples)
    return "".join(render(gauge, samples[gauge].items()) for gauge in samples)


def _answer(
    question: Question,
    rows: Sequence[Sequence[Any]],
    domains: Collection[str],
    samples: Mapping[Gauge, dict[tuple[str, ...], float]],
) -> None:
    """Put the rows of an answer into the samples of the gauges that the question fills.

    Rows of domains that left the configuration are passed over. Unknown label values become one `other`, whose numbers
    add up.
    """
    first_value = len(question.labels)
    for column in question.columns:
        if column.otherwise is not None:
            for domain in domains:
                samples[column.gauge][domain, *column.fixed] = column.otherwise
    for row in rows:
        if question.labels and row[0] not in domains:
            continue
        labels = tuple(map(_bounded, question.labels, row[:first_value]))
        for column, number in zip(question.columns, row[first_value:], strict=True):
            if number is not None:
                numbers = samples[column.gauge]
                key = (*labels, *column.fixed)
                numbers[key] = numbers.get(key, 0) + number


def _bounded(label: str, value: str) -> str:
    return value if label not in _KNOWN or value in _KNOWN[label] else _OTHER
