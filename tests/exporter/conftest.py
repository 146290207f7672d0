"""The real engine with two domains, and what the exporter would serve about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import TODAY, Storage, engine_config
from prometheus_client.parser import text_string_to_metric_families
from sample_reports import Reports

from exporter.asking import Asking
from exporter.reported import reported
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def two_domains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    domains = [{"name": "shop.example"}, {"name": "other.example", "thresholds": {"minimum_sessions": 5}}]
    metrics = {"exporter": "127.0.0.1:0", "refresh": "1s"}
    config = engine_config(tmp_path_factory.mktemp("exporter"), domains=domains, metrics=metrics)
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config)
        yield storage


@pytest.fixture
def reports(two_domains: Storage) -> Reports:
    two_domains.empty()
    return Reports(storage=two_domains)


@dataclass(frozen=True)
class Gauges:
    """What the exporter would serve now."""

    storage: Storage

    def read(self, *, window: timedelta = timedelta(days=7)) -> dict[str, float]:
        """Values by metric and label values: `tlsrpt_sessions shop.example latest failed`."""
        config = self.storage.config
        names = {domain.name for domain in config.domains}
        text = reported(ask=Asking(config), domains=names, window=window, today=TODAY)
        return {
            " ".join((sample.name, *sample.labels.values())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def gauges(two_domains: Storage) -> Gauges:
    return Gauges(two_domains)
