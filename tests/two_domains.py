"""The real engine with two domains, what the view `attention` says about them and what the exporter would serve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from engine import Storage, engine_config
from prometheus_client.parser import text_string_to_metric_families
from sample_reports import Reports

from exporter.asking import Asking
from exporter.reported import reported
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate
from reports.schema_groups import SCHEMA_GROUPS
from reports.tls.meanings import write_failure_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path


@pytest.fixture(scope="session")
def two_domains(in_memory: Path) -> Iterator[Storage]:
    domains = [{"name": "shop.example"}, {"name": "other.example", "thresholds": {"minimum_sessions": 5}}]
    metrics = {"exporter": "127.0.0.1:0", "refresh": "1s"}
    config = engine_config(in_memory / "two_domains", domains=domains, metrics=metrics)
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config, SCHEMA_GROUPS)
        write_failure_words(storage.client(), config)
        yield storage


@pytest.fixture
def reports(two_domains: Storage) -> Reports:
    two_domains.empty()
    return Reports(storage=two_domains)


@dataclass(frozen=True, kw_only=True)
class Needed:
    """A row of the view `attention`."""

    severity: str
    since: date | None
    affected: int
    of: int
    detail: str
    acknowledged: bool
    because: str


@dataclass(frozen=True)
class Attention:
    """What needs attention now."""

    storage: Storage

    def read(self, domain: str = "shop.example") -> dict[tuple[str, str], Needed]:
        """By cause and subject, all but that nobody reports yet."""
        rows = self.storage.ask(
            "SELECT cause, subject, severity, since, affected, of, detail, acknowledged, acknowledged_because"
            " FROM attention"
            " WHERE policy_domain = {domain:String} AND cause != 'never-reported'",
            domain=domain,
        )
        found = {
            (cause, subject): Needed(
                severity=severity,
                since=since,
                affected=affected,
                of=of,
                detail=detail,
                acknowledged=acknowledged,
                because=because,
            )
            for cause, subject, severity, since, affected, of, detail, acknowledged, because in rows
        }
        assert len(found) == len(rows)
        return found

    def affected(self, cause: str, domain: str = "shop.example") -> int:
        """Sessions of a cause, all its subjects together; 0 if it needs no attention."""
        return sum(row.affected for (named, _), row in self.read(domain).items() if named == cause)

    def causes(self, domain: str = "shop.example") -> dict[str, str]:
        """The severity of each cause that is not acknowledged."""
        return {cause: row.severity for (cause, _), row in self.read(domain).items() if not row.acknowledged}


@dataclass(frozen=True)
class Gauges:
    """What the exporter would serve now."""

    storage: Storage

    def read(self) -> dict[str, float]:
        """Values by metric and label values: `tlsrpt_sessions shop.example failed`."""
        config = self.storage.config
        self.storage.roll_up()
        text = reported(ask=Asking(config), domains={domain.name for domain in config.domains})
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def attention(two_domains: Storage) -> Attention:
    return Attention(two_domains)


@pytest.fixture
def gauges(two_domains: Storage) -> Gauges:
    return Gauges(two_domains)
