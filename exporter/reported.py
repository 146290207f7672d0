"""What reports say, as one page of gauges: the answers of ClickHouse for the domains of the configuration.

No label value comes from a report as it is. Policy domains come from the configuration, the others from closed sets:
what is in none of them becomes `other`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from exporter.exposition import Gauge, render
from exporter.questions import QUESTIONS, Question, days
from mailposture.expectation import expectation
from reports.tls.failures import ALL_MEANINGS, Category, Kind, Severity

if TYPE_CHECKING:
    from datetime import date, timedelta

    from mailposture.config.model import Config, Domain

Ask: TypeAlias = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Runs one query with its parameters and returns the rows."""

_OTHER = "other"
_KNOWN: Mapping[str, frozenset[str]] = {
    "category": frozenset(Category),
    "severity": frozenset(Severity),
    "result_type": frozenset(meaning.term for meaning in ALL_MEANINGS if meaning.kind is Kind.RESULT_TYPE),
    "likelihood": frozenset({"likely", "possible"}),
    "standing": frozenset({"established", "known", "newcomer", "by-hand", "post"}),
}

_DOMAIN = Gauge(
    name="mailposture_domain_info",
    help="A domain of the configuration and the team that looks after it, always 1",
    labels=("policy_domain", "team"),
)
_STALE = Gauge(
    name="mailposture_threshold_stale_seconds",
    help="Time after the end of the last reported day when reports are missing; no series for a parked domain, about "
    "which none are expected",
)
_THRESHOLDS: Sequence[tuple[Gauge, Callable[[Domain], float]]] = (
    (
        Gauge(
            name="mailposture_threshold_failure_ratio",
            help="Share of failed sessions (0 to 1) above which the domain deserves attention",
        ),
        lambda domain: domain.thresholds.failure_ratio,
    ),
    (
        Gauge(
            name="mailposture_threshold_minimum_sessions",
            help="Failed sessions below which the domain never deserves attention",
        ),
        lambda domain: domain.thresholds.minimum_sessions,
    ),
    (
        _STALE,
        lambda domain: domain.thresholds.stale_after.total_seconds(),
    ),
    (
        Gauge(
            name="mailposture_threshold_certificate_expiry_seconds",
            help="Time before the expiry of a certificate when it must be renewed",
        ),
        lambda domain: domain.thresholds.certificate_expiry.total_seconds(),
    ),
)


def configured(config: Config) -> str:
    """The gauges that need no report: our domains, their teams and thresholds, which the alert rules compare with."""
    page = [render(_DOMAIN, (((domain.name, domain.team), 1) for domain in config.domains))]
    expecting_reports = [domain for domain in config.domains if expectation(config, domain).reports]
    for gauge, threshold in _THRESHOLDS:
        domains = expecting_reports if gauge is _STALE else config.domains
        page.append(render(gauge, (((domain.name,), threshold(domain)) for domain in domains)))
    return "".join(page)


def reported(*, ask: Ask, domains: Collection[str], window: timedelta, today: date) -> str:
    """Ask ClickHouse all questions and write down the answers; raises what `ask` raises."""
    parameters = days(today=today, window=window)
    samples: dict[Gauge, dict[tuple[str, ...], float]] = defaultdict(dict)
    for question in QUESTIONS:
        _answer(question, ask(question.sql, parameters), domains, samples)
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
    first_value = 1 + len(question.labels)
    for column in question.columns:
        if column.otherwise is not None:
            for domain in domains:
                samples[column.gauge][domain, *column.fixed] = column.otherwise
    for row in rows:
        if row[0] not in domains:
            continue
        labels = (row[0], *map(_bounded, question.labels, row[1:first_value]))
        for column, number in zip(question.columns, row[first_value:], strict=True):
            if number is not None:
                numbers = samples[column.gauge]
                key = (*labels, *column.fixed)
                numbers[key] = numbers.get(key, 0) + number


def _bounded(label: str, value: str) -> str:
    return value if value in _KNOWN[label] else _OTHER
