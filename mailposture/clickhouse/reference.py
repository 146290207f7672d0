"""Reference tables: what is written at every start, so that SQL alone can answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from mailposture.expectation import expectation

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config.domains import Domain
    from mailposture.config.model import Config

Row = tuple[object, ...]


class ReferenceTable(NamedTuple):
    """A table that follows what this version and the configuration say."""

    name: str
    columns: tuple[str, ...]  # all but updated_at


_DOMAINS = ReferenceTable(
    "configured_domains",
    (
        "policy_domain",
        "team",
        "failure_ratio_threshold",
        "minimum_sessions",
        "stale_after_seconds",
        "certificate_expiry_seconds",
        "posts_count",
        "parked",
        "hosted_sts_mode",
        "probes",
        "active",
    ),
)


def write_domains(client: Client, config: Config) -> None:
    """Make configured_domains say what the configuration says; domains that left it stay, as inactive."""
    known = known_rows(client, config, _DOMAINS)
    wanted: dict[object, Row] = {domain.name: (*_facts(config, domain), True) for domain in config.domains}
    left = ((*facts[:-1], False) for facts in known if facts[0] not in wanted)
    add_rows(client, config, _DOMAINS, {*wanted.values(), *left} - known)


def known_rows(client: Client, config: Config, table: ReferenceTable) -> set[Row]:
    """Its rows, without updated_at."""
    columns = ", ".join(table.columns)
    answer = client.query(f"SELECT {columns} FROM {config.clickhouse.tables_database}.{table.name} FINAL")
    return {tuple(tuple(value) if isinstance(value, list) else value for value in row) for row in answer.result_rows}


def add_rows(client: Client, config: Config, table: ReferenceTable, rows: set[Row]) -> None:
    """Insert what is new or has changed, usually nothing: every start comes here, with thousands of domains maybe."""
    if rows:
        now = datetime.now(UTC)
        columns = (*table.columns, "updated_at")
        client.insert(
            table.name, [(*row, now) for row in rows], column_names=columns, database=config.clickhouse.tables_database
        )


def _facts(config: Config, domain: Domain) -> Row:
    expected, thresholds = expectation(config, domain), domain.thresholds
    return (
        domain.name,
        domain.team,
        thresholds.failure_ratio,
        thresholds.minimum_sessions,
        int(thresholds.stale_after.total_seconds()),
        int(thresholds.certificate_expiry.total_seconds()),
        domain.posts_count,
        bool(expected.parked),
        expected.policy.mode.value if expected.policy else "",
        expected.probes,
    )
