"""The real engine, and reports written straight into its tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.asking import Asking
from exporter.reported import reported
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.prepare import prepare
from mailposture.config import Config
from mailposture.failures import classify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver import Client

TODAY = datetime.now(UTC).date()


@dataclass(kw_only=True)
class Reports:
    """Writes reports; each call is one report of one organization about one policy."""

    client: Client
    _count: int = field(default=0)

    def add(
        self,
        domain: str,
        *,
        day: int,
        organization: str = "Alpha",
        successful: int = 0,
        failures: dict[str, int] | None = None,
        receiving_mx: str = "mx1.shop.example",
        policy_type: str = "sts",
        sts_mode: str = "testing",
        trust: str = "dkim",
        counts: bool = True,
        networks: tuple[str, ...] = ("192.0.2.1",),
        delay: timedelta = timedelta(hours=10),
    ) -> None:
        """`day` counts back from today: 1 is yesterday. `failures`: sessions by result type."""
        self._count += 1
        failures = failures or {}
        when = TODAY - timedelta(days=day)
        common = {
            "day": when,
            "report_key": self._count,
            "organization": organization,
            "trust": trust,
        }
        of_policy = {
            **common,
            "policy_domain": domain,
            "policy_type": policy_type,
            "sts_mode": sts_mode,
            "counts": counts,
        }
        failed = sum(failures.values())
        sessions = {"successful_sessions": successful, "failed_sessions": failed}
        start = datetime.combine(when, time(), UTC)
        self._insert(
            "tls_reports",
            {
                **common,
                **sessions,
                "policy_domains": [domain],
                "period_start": start,
                "period_end": start + timedelta(days=1),
                "received_at": start + timedelta(days=1) + delay,
            },
        )
        self._insert("tls_policies", {**of_policy, **sessions})
        for index, (result_type, count) in enumerate(failures.items()):
            classification = classify(result_type)
            self._insert(
                "tls_failures",
                {
                    **of_policy,
                    "failure_index": index,
                    "result_type": result_type,
                    "category": classification.category.value,
                    "severity": classification.severity.value,
                    "receiving_mx": receiving_mx,
                    "sending_mta_ip": f"::ffff:{networks[0]}",
                    "failed_sessions": count,
                },
            )

    def _insert(self, table: str, row: dict[str, Any]) -> None:
        self.client.insert(table, [list(row.values())], column_names=list(row))


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return Config.model_validate(
        {
            "domains": [{"name": "shop.example"}, {"name": "other.example", "thresholds": {"minimum_sessions": 5}}],
            "data": tmp_path_factory.mktemp("data"),
            "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
            "metrics": {"exporter": "127.0.0.1:0", "refresh": "1s"},
        }
    )


@pytest.fixture(scope="session")
def engine(config: Config) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(config)
    endpoint = engine.start()
    try:
        prepare(connect(config, user=config.clickhouse.collector_user, endpoint=endpoint), config)
        yield engine
    finally:
        engine.stop()


@pytest.fixture
def today() -> date:
    return TODAY


@pytest.fixture
def reports(engine: EmbeddedEngine, config: Config) -> Iterator[Reports]:
    client = connect(config, user=config.clickhouse.collector_user)
    yield Reports(client=client)
    for table in ("tls_reports", "tls_policies", "tls_failures"):
        client.command(f"TRUNCATE TABLE {table}")
    client.close()


@dataclass(frozen=True)
class Gauges:
    """What the exporter would serve now."""

    config: Config
    ask: Asking

    def read(self, *, window: timedelta = timedelta(days=7)) -> dict[str, float]:
        """Values by metric and label values: `tlsrpt_sessions shop.example latest failed`."""
        names = {domain.name for domain in self.config.domains}
        text = reported(ask=self.ask, domains=names, window=window, today=TODAY)
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def gauges(engine: EmbeddedEngine, config: Config) -> Gauges:
    return Gauges(config, Asking(config))
