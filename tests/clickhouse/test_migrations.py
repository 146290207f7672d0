"""The schema comes into being step by step, once, whoever else is doing the same."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import DOMAIN

from mailposture.clickhouse import schema_steps
from mailposture.clickhouse.client import StorageError, connect
from mailposture.clickhouse.migrate import migrate, pending
from mailposture.clickhouse.reference import write_failure_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver import Client
    from engine import Storage

    from mailposture.config.model import Config


pytestmark = pytest.mark.slow


def with_clickhouse(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"clickhouse": config.clickhouse.model_copy(update=changes)})


@pytest.fixture
def empty_database(storage: Storage) -> Iterator[Client]:
    """The engine's database, dropped before and made whole again after."""
    client = storage.client()
    client.raw_query(f"DROP DATABASE {storage.config.clickhouse.database} SYNC", use_database=False)
    yield client
    migrate(client, storage.config)
    write_failure_words(client, storage.config)
    storage.empty()


def test_a_fresh_database_gets_everything_and_then_nothing_more(storage: Storage, empty_database: Client) -> None:
    steps = migrate(empty_database, storage.config)
    names = [step.name for step in steps]
    assert names[0].startswith("0000_")
    assert "views/10_tls_daily.sql" in names
    assert migrate(empty_database, storage.config) == []
    assert pending(empty_database, storage.config) == []


def test_a_dry_run_shows_the_sql_and_changes_nothing(storage: Storage, empty_database: Client) -> None:
    steps = migrate(empty_database, storage.config, dry_run=True)
    assert steps[0].sql.startswith("CREATE DATABASE IF NOT EXISTS mailposture")
    assert any("CREATE TABLE IF NOT EXISTS mailposture.tls_policies" in step.sql for step in steps)
    found = empty_database.raw_query(
        "SELECT count() FROM system.databases WHERE name = 'mailposture'", use_database=False
    )
    assert found == b"0\n"


def test_processes_that_migrate_at_once_apply_each_step_once(storage: Storage, empty_database: Client) -> None:
    applied: list[str] = []
    errors: list[Exception] = []

    def service() -> None:
        user = storage.config.clickhouse.collector_user
        try:
            client = connect(storage.config, user=user, endpoint=storage.endpoint)
            applied.extend(step.name for step in migrate(client, storage.config))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=service) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert len(applied) == len(set(applied)) > 20
    assert pending(empty_database, storage.config) == []


def test_a_lock_left_by_a_migration_that_died_is_broken(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, empty_database: Client
) -> None:
    migrate(empty_database, storage.config)
    empty_database.command("CREATE TABLE schema_lock (nothing UInt8) ENGINE = Memory")
    monkeypatch.setattr("mailposture.clickhouse.migrate._LOCK_IS_DEAD_AFTER", 1)
    assert migrate(empty_database, storage.config) == []
    assert storage.ask("SELECT count() FROM system.tables WHERE name = 'schema_lock'") == [(0,)]


def test_the_lock_is_released_when_a_step_fails(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = schema_steps.Step(name="views/99_bad.sql", sql="CREATE VIEW mailposture.bad AS SELECT nothing", checksum="x")
    monkeypatch.setattr(schema_steps, "views", lambda _: [bad])
    with pytest.raises(StorageError, match=r"99_bad.sql failed: .*nothing") as caught:
        migrate(storage.client(), storage.config)
    for frame in ("HTTP driver", "DB::", "http://", "version"):
        assert frame not in str(caught.value)
    assert storage.ask("SELECT count() FROM system.tables WHERE name = 'schema_lock'") == [(0,)]
    assert storage.ask("SELECT count() FROM schema_steps WHERE name = 'views/99_bad.sql'") == [(0,)]


def test_an_edited_step_is_an_error_that_names_it(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = schema_steps.Step(name="0002_tls_policies.sql", sql="SELECT 1", checksum="another")
    monkeypatch.setattr(schema_steps, "tables", lambda _: [edited])
    with pytest.raises(StorageError, match=r"0002_tls_policies.sql is not what was applied there"):
        migrate(storage.client(), storage.config)


def test_a_changed_view_is_replaced(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "CREATE OR REPLACE VIEW mailposture.tls_daily (day Date) SQL SECURITY DEFINER AS SELECT today() AS day"
    changed = schema_steps.Step(name="views/10_tls_daily.sql", sql=sql, checksum="changed")
    with monkeypatch.context() as patch:
        patch.setattr(schema_steps, "views", lambda _: [changed])
        assert migrate(storage.client(), storage.config) == [changed]
    assert [step.name for step in migrate(storage.client(), storage.config)] == ["views/10_tls_daily.sql"]


def test_retention_follows_the_configuration(storage: Storage) -> None:
    shorter = with_clickhouse(storage.config, retention=timedelta(days=30))
    ttl = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND engine_full LIKE {ttl:String}"
    try:
        steps = migrate(storage.client(), shorter)
        assert {step.name.removeprefix("retention of ") for step in steps} >= {"tls_policies", "rejections"}
        assert storage.ask(ttl, ttl="%toIntervalDay(30)%") == [(len(steps),)]
        assert migrate(storage.client(), shorter) == []
    finally:
        migrate(storage.client(), storage.config)
    assert storage.ask(ttl, ttl="%toIntervalDay(30)%") == [(0,)]


def test_what_is_kept_by_month_is_kept_as_long_as_the_last_day_in_it(storage: Storage) -> None:
    today = datetime.now(UTC).date()  # retention goes by the server's own clock
    day = today.replace(day=1) - timedelta(days=1)
    storage.put("tls_policies", {"day": day, "reported_policy_domain": DOMAIN})
    try:
        migrate(storage.client(), with_clickhouse(storage.config, retention=today - day + timedelta(days=1)))
        for table in ("tls_policies", "tls_sender_days"):
            storage.client().command(f"OPTIMIZE TABLE {table} FINAL")
            assert storage.ask(f"SELECT count() FROM {table}") == [(1,)], table
    finally:
        migrate(storage.client(), storage.config)


def test_another_database_name_works_with_users_of_its_own(tmp_path: Path) -> None:
    from engine import engine_config  # noqa: PLC0415

    from mailposture.clickhouse.embedded import EmbeddedEngine  # noqa: PLC0415

    names = {"database": "posta", "collector_user": "writer", "grafana_user": "dashboards"}
    config = engine_config(tmp_path, clickhouse=names)
    with EmbeddedEngine(config) as endpoint:
        migrate(connect(config, user="writer", endpoint=endpoint), config)
        client = connect(config, user="dashboards", endpoint=endpoint)
        assert client.query("SELECT count() FROM tls_daily").result_rows == [(0,)]
        assert client.query("SELECT currentDatabase(), currentUser()").result_rows == [("posta", "dashboards")]


def test_cluster_ddl_is_complete_and_parses(storage: Storage) -> None:
    """No cluster can be run here; the same parser judges the statements that one would get."""
    cluster = with_clickhouse(storage.config, cluster="mail-eu").clickhouse
    steps = [schema_steps.create_database(cluster), *schema_steps.tables(cluster), *schema_steps.views(cluster)]
    steps.append(schema_steps.change_retention(cluster, "tls_policies", "day"))
    assert len(steps) > 25
    for step in steps:
        assert "ON CLUSTER `mail-eu`" in step.sql, step.name
        (formatted,) = storage.ask("SELECT formatQuery({sql:String})", sql=step.sql)[0]
        assert "ON CLUSTER `mail-eu`" in formatted, step.name
    for step in schema_steps.tables(cluster):
        if "CREATE TABLE" in step.sql:
            assert "ENGINE = Replicated" in step.sql, step.name
        if "PARTITION BY" in step.sql:  # what is written again must not be swallowed as known: it may not be there
            assert "replicated_deduplication_window = 0" in step.sql, step.name
    with pytest.raises(Exception, match="SYNTAX_ERROR"):
        storage.ask("SELECT formatQuery({sql:String})", sql=steps[1].sql.replace("ORDER BY", "ORDER"))


def test_single_ddl_names_no_cluster(storage: Storage) -> None:
    config = storage.config.clickhouse
    for step in [*schema_steps.tables(config), *schema_steps.views(config)]:
        assert "CLUSTER" not in step.sql
        assert "ENGINE = Replicated" not in step.sql


def test_a_cluster_that_the_server_does_not_know_is_named(storage: Storage) -> None:
    with pytest.raises(StorageError, match=r"clickhouse.cluster: nowhere is not known to the server"):
        migrate(storage.client(), with_clickhouse(storage.config, cluster="nowhere"))
