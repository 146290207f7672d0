"""What is written at every start, so that SQL alone can answer: our domains, and the words for failures."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mailposture.failures import ALL_MEANINGS

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config import Config, Domain

_DOMAIN_COLUMNS = (
    "policy_domain",
    "team",
    "failure_ratio_threshold",
    "minimum_sessions",
    "stale_after_seconds",
    "hosted_sts_mode",
    "active",
    "updated_at",
)
_WORD_COLUMNS = ("term", "kind", "category", "severity", "title", "explanation", "action", "updated_at")


def write_domains(client: Client, config: Config) -> None:
    """Make configured_domains say what the configuration says; domains that left it stay, as inactive."""
    now = datetime.now(UTC)
    database = config.clickhouse.database
    rows = [(*_facts(domain), True, now) for domain in config.domains]
    names = {domain.name for domain in config.domains}
    known = client.query(f"SELECT * EXCEPT (active, updated_at) FROM {database}.configured_domains FINAL WHERE active")
    rows += [(*facts, False, now) for facts in known.result_rows if facts[0] not in names]
    client.insert("configured_domains", rows, column_names=_DOMAIN_COLUMNS, database=database)


def write_failure_words(client: Client, config: Config) -> None:
    """Make failure_words say what mailposture/failures.py says."""
    now = datetime.now(UTC)
    rows = [(*map(str, astuple(meaning)), now) for meaning in ALL_MEANINGS]
    client.insert("failure_words", rows, column_names=_WORD_COLUMNS, database=config.clickhouse.database)


def _facts(domain: Domain) -> tuple[str, str, float, int, int, str]:
    thresholds = domain.thresholds
    return (
        domain.name,
        domain.team,
        thresholds.failure_ratio,
        thresholds.minimum_sessions,
        int(thresholds.stale_after.total_seconds()),
        domain.mta_sts.mode.value if domain.mta_sts else "",
    )
