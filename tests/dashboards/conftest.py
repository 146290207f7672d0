"""The demo's month of reports and probes in a real engine, for the queries of the dashboards."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import TYPE_CHECKING

import pytest
import yaml
from clock import NOW, TODAY
from engine import set_clock
from hostile_reports import hostile_dmarc_reports, hostile_reports

from collector.ingest.judge import Accepted, Judge
from collector.ingest.writer import Writer
from collector.trust import DkimVerifier, KeyCache
from demo.config import config_text
from demo.dmarc.mails import dmarc_report_mail
from demo.dmarc.reports import dmarc_reports
from demo.probes import write_probes
from demo.tls.mails import report_mail
from demo.tls.reports import reports
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.config.file import load
from reports.envelope import Envelope, Source
from reports.prepare import prepare, roll_up
from reports.rejection import Fault, Reason, RejectionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from engine import Storage

    from mailposture.clickhouse.engine_files import Endpoint
    from mailposture.config.model import Config
    from reports.rows import Rows


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
def store_of(
    folder: Path, messages: Callable[[], Iterable[tuple[Envelope, bytes]]], today: date, *, probed: bool
) -> Iterator[DemoStore]:
    """Start an engine, bring in these messages, some mails that are no reports, and perhaps what probes saw."""
    folder.mkdir()
    file = folder / "mailposture.yaml"
    settings = yaml.safe_load(config_text(nameserver="127.0.0.1@9"))
    settings["clickhouse"] = {"http": "127.0.0.1:0", "native": "127.0.0.1:0"}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    config = load(file)
    with EmbeddedEngine(config) as endpoint:
        client = connect(config, user=config.clickhouse.collector_user, endpoint=endpoint)
        with closing(client):
            prepare(client, config)
            set_clock(client, config)
            # A TTL goes by the server's own clock, for which a day of --today may be long ago.
            client.command(
                "ALTER TABLE mailposture_tables.rejections MODIFY TTL toDate(received_at) + INTERVAL 100 YEAR"
            )
            writer = Writer(client=client, database=config.clickhouse.tables_database)
            writer.write(_rows(config, list(messages())))
            writer.reject(_rejections(today))
            roll_up(client, config)
        if probed:
            with closing(connect(config, user=config.clickhouse.exporter_user, endpoint=endpoint)) as exporter:
                write_probes(exporter, NOW, database=config.clickhouse.tables_database)
        yield DemoStore(config=config, endpoint=endpoint)


def demo_messages(today: date) -> Iterator[tuple[Envelope, bytes]]:
    """The month before today as mails, each arriving some hours after its day."""
    mails = chain(
        ((report.day, report_mail(report, None)) for report in reports(today)),
        ((report.day, dmarc_report_mail(report, None)) for report in dmarc_reports(today)),
    )
    for number, (day, mail) in enumerate(mails):
        usual = datetime.combine(day + timedelta(days=1), time(number % 10, number % 60), UTC)
        yield envelope(f"queue-{number}", min(usual, NOW)), mail


def envelope(name: str, received_at: datetime) -> Envelope:
    """Of a mail that an operator accepted: signatures are tested elsewhere."""
    return Envelope(source=Source.SMTP, received_at=received_at, name=name, peer="198.18.0.25", by_operator=True)


def _rows(config: Config, messages: list[tuple[Envelope, bytes]]) -> list[Rows]:
    """The rows of messages, made by the collector's own code."""
    with closing(KeyCache()) as keys:
        judge = Judge(config, verifier=DkimVerifier(keys=keys))
        verdicts = judge.judge(messages, now=NOW)
    accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
    assert len(accepted) == len(messages)
    return [rows for verdict in accepted for rows in verdict.reports]


def _rejections(today: date) -> Iterator[RejectionRow]:
    faults = (
        Fault(Reason.BAD_COMPRESSION, "report.json.gz: the gzip stream ends in the middle"),
        Fault(Reason.NOT_XML, "not well-formed XML: mismatched tag in line 7, column 2"),
        Fault(Reason.NO_REPORT, "no part of the mail is a report"),
    )
    for number, fault in enumerate(faults):
        arrived = Envelope(
            source=Source.SMTP,
            received_at=datetime.combine(today - timedelta(days=1 + number), time(9, 30), UTC),
            name=f"queue-odd-{number}",
            peer="198.18.200.66",
        )
        yield RejectionRow.of(arrived, fault, size=4711, held_id=f"{number:032x}")


@pytest.fixture(scope="session")
def store(in_memory: Path) -> Iterator[DemoStore]:
    """The demo as of today."""
    with store_of(in_memory / "dashboards", lambda: demo_messages(TODAY), TODAY, probed=True) as running:
        yield running


@pytest.fixture(scope="session")
def hostile_store(in_memory: Path) -> Iterator[DemoStore]:
    """Reports whose senders put things into names that are meant for SQL, shells, templates and browsers."""
    with store_of(in_memory / "hostile", lambda: _hostile_messages(TODAY), TODAY, probed=False) as running:
        yield running


@pytest.fixture
def probing_store(hostile_store: DemoStore) -> Iterator[DemoStore]:
    """The same, for tests that write what probes saw: it is gone after each of them."""
    yield hostile_store
    config = hostile_store.config
    collector = connect(config, user=config.clickhouse.collector_user, endpoint=hostile_store.endpoint)
    with closing(collector) as client:
        client.command(f"TRUNCATE TABLE {config.clickhouse.tables_database}.probe_results")


@pytest.fixture
def own_store(storage: Storage) -> DemoStore:
    """Without any report, for a test's own."""
    return DemoStore(config=storage.config, endpoint=storage.endpoint)


def _hostile_messages(today: date) -> Iterator[tuple[Envelope, bytes]]:
    for number, report in enumerate(hostile_reports(today - timedelta(days=1))):
        mail = b"From: a@sender.example\r\nContent-Type: application/tlsrpt+json\r\n\r\n" + report
        yield envelope(f"queue-hostile-{number}", NOW), mail
    for number, report in enumerate(hostile_dmarc_reports(today - timedelta(days=1))):
        mail = b"From: a@sender.example\r\nContent-Type: text/xml\r\n\r\n" + report
        yield envelope(f"queue-hostile-dmarc-{number}", NOW), mail
