"""The alert rules as they are in the repository, and the metrics that we really export."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import collector.metrics
from collector.health import _SpoolCollector
from collector.heartbeat import Heartbeat
from collector.sources.mailbox.health import MailboxCollector, MailboxHealth
from collector.sources.mailbox.remembered import Remembered
from collector.spool import Spool, SpoolQueue
from exporter.digests.status import Status
from exporter.probes import PROBES
from exporter.probes.history import History
from exporter.probes.results import PORT_25_BLOCKED
from exporter.questions import QUESTIONS
from exporter.reported import configured
from exporter.snapshot import Refresher
from mailposture.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An alert rule, with its runbook and its promtool test."""

    file: Path
    name: str
    expression: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def runbook(self) -> str:
        return (self.file.parent / "runbooks" / f"{self.name}.md").read_text()

    @property
    def test(self) -> dict[str, Any]:
        (own,) = [test for test in _tests_of(self.file) if test["name"] == self.name]
        return own


@cache
def _tests_of(rules: Path) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = yaml.safe_load((rules.parent / "tests" / rules.name).read_text())["tests"]
    return tests


def _rules() -> list[Rule]:
    return [
        Rule(
            file=path,
            name=rule["alert"],
            expression=rule["expr"],
            labels=rule["labels"],
            annotations=rule["annotations"],
        )
        for path in sorted((ROOT / "alerting-rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


@pytest.fixture
def rules() -> list[Rule]:
    return _rules()


@pytest.fixture(params=_rules(), ids=lambda rule: rule.name)
def rule(request: pytest.FixtureRequest) -> Rule:
    found: Rule = request.param
    return found


@pytest.fixture(scope="session")
def dashboards() -> dict[str, set[str]]:
    """The variables of each dashboard, by its uid."""
    found = [json.loads(path.read_text()) for path in (ROOT / "dashboards").glob("*.json")]
    return {board["uid"]: {variable["name"] for variable in board["templating"]["list"]} for board in found}


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all samples that collector and exporter can serve."""
    return {*_of_exporter(), *_of_collector(tmp_path_factory.mktemp("spool"))}


def _of_exporter() -> Iterator[str]:
    config = Config.model_validate({"domains": [{"name": "shop.example"}]})
    yield from re.findall(r"^# TYPE (\S+)", configured(config), re.MULTILINE)
    yield from {column.gauge.name for question in QUESTIONS for column in question.columns}
    yield from {gauge.name for probe in PROBES.values() for gauge in probe.all_gauges} | {PORT_25_BLOCKED.name}
    registry = CollectorRegistry()
    Refresher(read=lambda: "", knock=lambda: None, without_reports="", every=60, registry=registry).refresh()
    History(registry=registry, patience=60)
    digest = Status(registry)
    digest.waits(1, since=datetime.now(UTC))
    digest.sent(datetime.now(UTC))
    yield from (sample.name for family in registry.collect() for sample in family.samples)


def _of_collector(folder: Path) -> Iterator[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    for metric in vars(collector.metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            yield from (family.name + suffix for suffix in suffixes[family.type])
    health = MailboxHealth("a mailbox", Remembered(folder, "a mailbox", kinds=()))
    health.succeeded()
    of_mailboxes = MailboxCollector([health])
    yield from (sample.name for family in of_mailboxes.collect() for sample in family.samples)
    spool = Spool(folder, keep_free=0)
    queue = SpoolQueue(folder)
    try:
        of_spool = _SpoolCollector(spool=spool, queue=queue, heartbeat=Heartbeat(folder / "heartbeat"))
        yield from (sample.name for family in of_spool.collect() for sample in family.samples)
    finally:
        queue.close()
        spool.close()
