"""The demo's month of reports in a real engine, for the queries of the dashboards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
import yaml

from collector.authenticate import DkimVerifier, KeyCache
from collector.envelope import Envelope, Source
from collector.judge import Believed, Judge
from collector.rejection import Reason, RejectedError, RejectionRow
from collector.rows import Rows
from collector.writer import Writer
from demo.config import config_text
from demo.mails import report_mail
from demo.reports import reports
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.engine_files import Endpoint
from mailposture.clickhouse.prepare import prepare
from mailposture.config import Config, load
from mailposture.ownership import Ownership


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStore:
    """A running engine with the demo's reports."""

    config: Config
    endpoint: Endpoint

    def ask_as_grafana(self, sql: str, **settings: str) -> list[dict[str, object]]:
        """Run a query as Grafana's SQL user, who may read views only; rows as column → value."""
        client = connect(self.config, user=self.config.clickhouse.grafana_user, endpoint=self.endpoint)
        with closing(client):
            answer = client.query(sql, settings=settings)
            return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]


@contextmanager
def demo_store(folder: Path, today: date) -> Iterator[DemoStore]:
    """Start an engine, bring in the month before today as if by mail, and some mails that are no reports."""
    file = folder / "mailposture.yaml"
    settings = yaml.safe_load(config_text(nameserver="127.0.0.1@9"))
    settings["clickhouse"] = {"http": "127.0.0.1:0", "native": "127.0.0.1:0"}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    config = load(file)
    with EmbeddedEngine(config) as endpoint:
        client = connect(config, user=config.clickhouse.collector_user, endpoint=endpoint)
        with closing(client):
            prepare(client, config)
            writer = Writer(client=client, database=config.clickhouse.database)
            writer.write(_rows(config, today))
            writer.reject(_rejections(today))
        yield DemoStore(config=config, endpoint=endpoint)


def _rows(config: Config, today: date) -> list[Rows]:
    """The demo's reports, decoded by the collector's own code."""
    with closing(KeyCache()) as keys:
        judge = Judge(verifier=DkimVerifier(keys=keys), ownership=Ownership(config), rules=config.authentication)
        messages = [
            (
                Envelope(
                    source=Source.SMTP,
                    received_at=datetime.combine(report.day + timedelta(days=1), time(number % 10, number % 60), UTC),
                    name=f"queue-{number}",
                    peer="198.18.0.25",
                    vouched=True,  # by us: the signatures are tested elsewhere
                ),
                report_mail(report, None),
            )
            for number, report in enumerate(reports(today))
        ]
        verdicts = judge.judge(messages, now=datetime.now(UTC))
    believed = [verdict for verdict in verdicts if isinstance(verdict, Believed)]
    assert len(believed) == len(messages)
    return [rows for verdict in believed for rows in verdict.reports]


def _rejections(today: date) -> Iterator[RejectionRow]:
    faults = (
        RejectedError(Reason.BAD_COMPRESSION, "report.json.gz: the gzip stream ends in the middle"),
        RejectedError(Reason.DMARC_REPORT, "report.xml is a DMARC report"),
        RejectedError(Reason.NO_REPORT, "no part of the mail is a report"),
    )
    for number, fault in enumerate(faults):
        envelope = Envelope(
            source=Source.SMTP,
            received_at=datetime.combine(today - timedelta(days=1 + number), time(9, 30), UTC),
            name=f"queue-odd-{number}",
            peer="198.18.200.66",
        )
        yield RejectionRow.of(envelope, fault, size=4711, held_id=f"{number:032x}")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoStore]:
    """The demo as of today."""
    with demo_store(tmp_path_factory.mktemp("dashboards"), datetime.now(UTC).date()) as running:
        yield running
