"""Spool and ClickHouse saved while reports move from one to the other, and put back: nothing lost, nothing twice."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import clickhouse_connect
import pytest
from engine import Storage, engine_config
from ingesting import arrived, report

from collector.ingest.writer import Writer
from collector.spool import HeldMessages, Spool, SpoolQueue, back_up, restore
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from reports.envelope import Source
from reports.prepare import prepare

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client
    from ingesting import Ingest

    from mailposture.clickhouse.engine_files import Endpoint
    from mailposture.config.model import Config

pytestmark = pytest.mark.slow

CONTAINER = Path(__file__).parents[2] / "docker" / "clickhouse"
DAY = "2026-11-24.tar.gz"


def engine_with_backups(data: Path) -> tuple[EmbeddedEngine, Config, Path]:
    """An engine that reads the files of the container's server, and the folder of its backups, inside its store."""
    backups = data / "engine" / "store" / "backups"
    config = engine_config(data)
    conf = data / "engine" / "conf"
    for name in ("config.d", "users.d"):
        (conf / name).mkdir(parents=True)
    server = ET.parse(CONTAINER / "server.xml").getroot()
    allowed = server.find("backups/allowed_path")
    assert allowed is not None
    assert allowed.text == "/var/lib/clickhouse/backups/"
    allowed.text = f"{backups}/"
    for element in list(server):
        if element.tag != "backups":
            server.remove(element)
    ET.ElementTree(server).write(conf / "config.d" / "container.xml")
    people = ET.parse(CONTAINER / "users.xml").getroot()
    users = people.find("users")
    assert users is not None
    nobody = users.find("default")
    assert nobody is not None
    users.remove(nobody)  # the embedded engine boots as this user
    ET.ElementTree(people).write(conf / "users.d" / "container.xml")
    return EmbeddedEngine(config), config, backups


def as_backup(endpoint: Endpoint) -> Client:
    return clickhouse_connect.get_client(
        host=endpoint.host, port=endpoint.http_port, username="mailposture_backup", autogenerate_session_id=False
    )


def test_a_backup_of_both_restores_everything_once(ingest: Ingest, tmp_path: Path) -> None:
    engine, config, backups = engine_with_backups(tmp_path / "old")
    endpoint = engine.start()
    try:
        owner = connect(config, user=config.clickhouse.collector_user, endpoint=endpoint)
        prepare(owner, config)
        ingest.writer = Writer(client=owner, database=config.clickhouse.tables_database)
        ingest.spool.put(arrived(), report(1))
        ingest.spool.put(arrived(Source.SMTP), b"Subject: no report\r\n\r\nx")
        ingest.drain()  # stored and rejected
        ingest.spool.put(arrived(), report(2))

        spool = tmp_path / "spool"
        back_up(spool, tmp_path / "spool.backup", keep_free=0)
        ingest.drain()  # stored, and no longer in the spool, between the two backups
        as_backup(endpoint).command(f"BACKUP DATABASE mailposture_tables TO File('{DAY}')")
        ingest.spool.put(arrived(), report(3))  # after both: its sender's archive has it
        ingest.drain()
    finally:
        engine.stop()

    engine, config, new_backups = engine_with_backups(tmp_path / "new")
    endpoint = engine.start()
    new_spool = tmp_path / "new" / "spool"
    try:
        new_backups.mkdir()
        shutil.copy(backups / DAY, new_backups)
        as_backup(endpoint).command(f"RESTORE DATABASE mailposture_tables FROM File('{DAY}')")
        restore(new_spool, tmp_path / "spool.backup")
        owner = connect(config, user=config.clickhouse.collector_user, endpoint=endpoint)
        prepare(owner, config)  # as the collector does when it starts
        storage = Storage(config=config, endpoint=endpoint)
        assert storage.ask("SELECT count() FROM tls_report_log") == [(2,)]
        with (
            closing(Spool(new_spool, keep_free=0)) as ingest.spool,
            closing(SpoolQueue(new_spool)) as ingest.queue,
            closing(HeldMessages(new_spool)) as ingest.held,
        ):
            assert ingest.queue.stats().depth == 1
            ingest.writer = Writer(client=owner, database=config.clickhouse.tables_database)
            ingest.drain()
            assert [message.reason for message in ingest.held.list()] == ["no-report"]
        assert storage.ask("SELECT count(), sum(successful_sessions) FROM tls_report_log") == [(2, 20)]
        assert storage.ask("SELECT successful_sessions FROM tls_domain_daily") == [(20,)]
        assert storage.ask("SELECT count() FROM rejections") == [(1,)]
        analyst = storage.ask("SELECT successful_sessions FROM tls_domain_daily", role="analyst")
        assert analyst == [(20,)]  # views still run as the collector
    finally:
        engine.stop()
