"""What is written at every start, so that SQL alone can answer: our domains, and the words for failures."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mailposture.failures import ALL_MEANINGS

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config import Config, Domain

_Row = tuple[object, ...]


class _Table(NamedTuple):
    name: str
    columns: tuple[str, ...]  # all but updated_at


_DOMAINS = _Table(
    "configured_domains",
    (
        "policy_domain",
        "team",
        "failure_ratio_threshold",
        "minimum_sessions",
        "stale_after_seconds",
        "certificate_expiry_seconds",
        "posts_count",
        "hosted_sts_mode",
        "active",
    ),
)
_WORDS = _Table("failure_words", ("term", "kind", "category", "severity", "title", "explanation", "action"))


def write_domains(client: Client, config: Config) -> None:
    """Make configured_domains say what the configuration says; domains that left it stay, as inactive."""
    known = _known(client, config, _DOMAINS)
    wanted: dict[object, _Row] = {domain.name: (*_facts(domain), True) for domain in config.domains}
    left = ((*facts[:-1], False) for facts in known if facts[0] not in wanted)
    _add(client, config, _DOMAINS, {*wanted.values(), *left} - known)


def write_failure_words(client: Client, config: Config) -> None:
    """Make failure_words say what mailposture/failures.py says."""
    words: set[_Row] = {tuple(map(str, astuple(meaning))) for meaning in ALL_MEANINGS}
    _add(client, config, _WORDS, words - _known(client, config, _WORDS))


def _known(client: Client, config: Config, table: _Table) -> set[_Row]:
    columns = ", ".join(table.columns)
    answer = client.query(f"SELECT {columns} FROM {config.clickhouse.database}.{table.name} FINAL")
    return {tuple(row) for row in answer.result_rows}


def _add(client: Client, config: Config, table: _Table, rows: set[_Row]) -> None:
    """Insert what is new or has changed, usually nothing: every start comes here, with thousands of domains maybe."""
    if rows:
        now = datetime.now(UTC)
        columns = (*table.columns, "updated_at")
        client.insert(
            table.name, [(*row, now) for row in rows], column_names=columns, database=config.clickhouse.database
        )


def _facts(domain: Domain) -> tuple[str, str, float, int, int, int, bool, str]:
    thresholds = domain.thresholds
    return (
        domain.name,
        domain.team,
        thresholds.failure_ratio,
        thresholds.minimum_sessions,
        int(thresholds.stale_after.total_seconds()),
        int(thresholds.certificate_expiry.total_seconds()),
        domain.posts_count,
        domain.mta_sts.mode.value if domain.mta_sts else "",
    )
