"""The schema comes into being step by step, once, whoever else is doing the same."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from clock import REAL_TODAY
from engine import DOMAIN

from mailposture.clickhouse import schema_steps
from mailposture.clickhouse.client import StorageError, connect
from mailposture.clickhouse.migrate import migrate, pending
from reports.schema_groups import SCHEMA_GROUPS
from reports.tls.meanings import write_failure_words

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
    """The engine without our databases; they are made whole again after."""
    client = storage.client()
    for database in (storage.config.clickhouse.database, storage.config.clickhouse.tables_database):
        client.raw_query(f"DROP DATABASE {database} SYNC", use_database=False)
    yield client
    migrate(client, storage.config, SCHEMA_GROUPS)
    write_failure_words(client, storage.config)
    storage.empty()


def test_a_fresh_database_gets_everything_and_then_nothing_more(storage: Storage, empty_database: Client) -> None:
    steps = migrate(empty_database, storage.config, SCHEMA_GROUPS)
    names = [step.name for step in steps]
    assert names[0] == "common/0000_schema_steps.sql"
    assert "tls/views/11_tls_domain_daily.sql" in names
    assert migrate(empty_database, storage.config, SCHEMA_GROUPS) == []
    assert pending(empty_database, storage.config, SCHEMA_GROUPS) == []


def test_a_dry_run_shows_the_sql_and_changes_nothing(storage: Storage, empty_database: Client) -> None:
    steps = migrate(empty_database, storage.config, SCHEMA_GROUPS, dry_run=True)
    assert [step.sql for step in steps[:2]] == [
        "CREATE DATABASE IF NOT EXISTS mailposture_tables",
        "CREATE DATABASE IF NOT EXISTS mailposture",
    ]
    assert any("CREATE TABLE IF NOT EXISTS mailposture_tables.tls_policies" in step.sql for step in steps)
    found = empty_database.raw_query(
        "SELECT count() FROM system.databases WHERE name LIKE 'mailposture%'", use_database=False
    )
    assert found == b"0\n"


def test_processes_that_migrate_at_once_apply_each_step_once(storage: Storage, empty_database: Client) -> None:
    applied: list[str] = []
    errors: list[Exception] = []

    def service() -> None:
        user = storage.config.clickhouse.collector_user
        try:
            client = connect(storage.config, user=user, endpoint=storage.endpoint)
            applied.extend(step.name for step in migrate(client, storage.config, SCHEMA_GROUPS))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=service) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert errors == []
    assert len(applied) == len(set(applied)) > 20
    assert pending(empty_database, storage.config, SCHEMA_GROUPS) == []


def test_a_lock_left_by_a_migration_that_died_is_broken(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.client().command("CREATE TABLE mailposture_tables.schema_lock (nothing UInt8) ENGINE = Memory")
    storage.client().command("DROP VIEW mailposture.domains")
    monkeypatch.setattr("mailposture.clickhouse.migrate._LOCK_IS_DEAD_AFTER", 1)
    steps = migrate(storage.client(), storage.config, SCHEMA_GROUPS)
    assert [step.view for step in steps] == ["domains"]
    assert storage.ask("SELECT count() FROM system.tables WHERE name = 'schema_lock'") == [(0,)]


def test_a_start_with_nothing_to_do_takes_no_lock(storage: Storage) -> None:
    """Who is killed while holding one keeps the next start waiting."""
    storage.client().command("CREATE TABLE mailposture_tables.schema_lock (nothing UInt8) ENGINE = Memory")
    try:
        assert migrate(storage.client(), storage.config, SCHEMA_GROUPS) == []
    finally:
        storage.client().command("DROP TABLE mailposture_tables.schema_lock SYNC")


def test_the_lock_is_released_when_a_step_fails(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    sql = "CREATE VIEW mailposture.bad AS SELECT nothing"
    bad = schema_steps.Step(name="views/99_bad.sql", sql=sql, checksum="x", view="bad")
    monkeypatch.setattr(schema_steps, "views", lambda *_: [bad])
    with pytest.raises(StorageError, match=r"99_bad.sql failed: .*nothing") as caught:
        migrate(storage.client(), storage.config, SCHEMA_GROUPS)
    for frame in ("HTTP driver", "http://", "version"):
        assert frame not in str(caught.value)
    assert storage.ask("SELECT count() FROM system.tables WHERE name = 'schema_lock'") == [(0,)]
    assert storage.ask("SELECT count() FROM mailposture_tables.schema_steps WHERE name = 'views/99_bad.sql'") == [(0,)]


def test_an_edited_step_is_an_error_that_names_it(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = schema_steps.Step(name="tls/0002_tls_policies.sql", sql="SELECT 1", checksum="another")
    monkeypatch.setattr(schema_steps, "tables", lambda *_: [edited])
    with pytest.raises(StorageError, match=r"tls/0002_tls_policies.sql is not what was applied there"):
        migrate(storage.client(), storage.config, SCHEMA_GROUPS)


def test_a_changed_view_is_replaced(storage: Storage, tmp_path: Path) -> None:
    """Here by one of another version, whose group has this view alone."""
    name = "views/10_domains.sql"
    (tmp_path / "views").mkdir()
    text = (
        "CREATE OR REPLACE VIEW {views}.domains {on_cluster} (day Date) SQL SECURITY DEFINER AS SELECT today() AS day"
    )
    (tmp_path / name).write_text(text)
    another = [schema_steps.Group(name="common", folder=tmp_path)]
    assert [step.name for step in migrate(storage.client(), storage.config, another)] == [f"common/{name}"]
    assert [step.name for step in migrate(storage.client(), storage.config, SCHEMA_GROUPS)] == [f"common/{name}"]


def test_a_view_that_is_not_there_is_made_again(storage: Storage) -> None:
    """A backup is of the tables alone: what has been applied is in it, and no view is."""
    storage.client().raw_query("DROP DATABASE mailposture SYNC", use_database=False)
    names = [step.name for step in migrate(storage.client(), storage.config, SCHEMA_GROUPS)]
    assert names == [step.name for step in schema_steps.views(SCHEMA_GROUPS, storage.config.clickhouse)]
    storage.empty()


def test_each_group_has_numbers_of_its_own(storage: Storage, tmp_path: Path) -> None:
    """A further kind of reports is one more folder: its steps and views, and nobody has to be granted these."""
    (tmp_path / "views").mkdir()
    (tmp_path / "0001_fax_reports.sql").write_text(
        "CREATE TABLE IF NOT EXISTS {tables}.fax_reports {on_cluster} (day Date) ENGINE = {replacing} ORDER BY day"
    )
    (tmp_path / "views" / "10_fax_daily.sql").write_text(
        "CREATE OR REPLACE VIEW {views}.fax_daily {on_cluster} (day Date) SQL SECURITY DEFINER"
        " AS SELECT day FROM {tables}.fax_reports"
    )
    groups = [*SCHEMA_GROUPS, schema_steps.Group(name="fax", folder=tmp_path)]
    try:
        names = [step.name for step in migrate(storage.client(), storage.config, groups)]
        assert names == ["fax/0001_fax_reports.sql", "fax/views/10_fax_daily.sql"]
        for reader in ("exporter", "analyst", "grafana"):
            assert storage.ask("SELECT count() FROM fax_daily", reader) == [(0,)]
    finally:
        storage.client().command("DROP VIEW IF EXISTS mailposture.fax_daily")
        storage.client().command("DROP TABLE IF EXISTS mailposture_tables.fax_reports SYNC")
        storage.client().command("DELETE FROM mailposture_tables.schema_steps WHERE startsWith(name, 'fax/')")


def test_retention_follows_the_configuration(storage: Storage) -> None:
    shorter = with_clickhouse(storage.config, retention=timedelta(days=30))
    ttl = "SELECT count() FROM system.tables WHERE database = 'mailposture_tables' AND engine_full LIKE {ttl:String}"
    try:
        steps = migrate(storage.client(), shorter, SCHEMA_GROUPS)
        assert {step.name.removeprefix("retention of ") for step in steps} >= {"tls_policies", "rejections"}
        assert storage.ask(ttl, ttl="%toIntervalDay(30)%") == [(len(steps),)]
        assert migrate(storage.client(), shorter, SCHEMA_GROUPS) == []
    finally:
        migrate(storage.client(), storage.config, SCHEMA_GROUPS)
    assert storage.ask(ttl, ttl="%toIntervalDay(30)%") == [(0,)]


def test_what_is_kept_by_month_is_kept_as_long_as_the_last_day_in_it(storage: Storage) -> None:
    day = REAL_TODAY.replace(day=1) - timedelta(days=1)
    storage.put("tls_policies", {"day": day, "reported_policy_domain": DOMAIN})
    try:
        kept = REAL_TODAY + timedelta(days=3) - day  # by the server's clock it may be a day later by now, or two
        longer = with_clickhouse(storage.config, retention=kept)
        migrate(storage.client(), longer, SCHEMA_GROUPS)
        for table in ("tls_policies", "tls_sender_days"):
            storage.client().command(f"OPTIMIZE TABLE mailposture_tables.{table} FINAL")
            assert storage.ask(f"SELECT count() FROM mailposture_tables.{table}") == [(1,)], table
    finally:
        migrate(storage.client(), storage.config, SCHEMA_GROUPS)


def test_another_database_name_works_with_users_of_its_own(tmp_path: Path) -> None:
    from engine import engine_config  # noqa: PLC0415

    from mailposture.clickhouse.embedded import EmbeddedEngine  # noqa: PLC0415

    names = {"database": "posta", "collector_user": "writer", "grafana_user": "dashboards"}
    config = engine_config(tmp_path, clickhouse=names)
    with EmbeddedEngine(config) as endpoint:
        migrate(connect(config, user="writer", endpoint=endpoint), config, SCHEMA_GROUPS)
        client = connect(config, user="dashboards", endpoint=endpoint)
        assert client.query("SELECT count() FROM tls_domain_daily").result_rows == [(0,)]
        assert client.query("SELECT currentDatabase(), currentUser()").result_rows == [("posta", "dashboards")]


def test_cluster_ddl_is_complete_and_parses(storage: Storage) -> None:
    """No cluster can be run here; the same parser judges the statements that one would get."""
    cluster = with_clickhouse(storage.config, cluster="mail-eu").clickhouse
    steps = [
        *schema_steps.create_databases(cluster),
        *schema_steps.tables(SCHEMA_GROUPS, cluster),
        *schema_steps.views(SCHEMA_GROUPS, cluster),
    ]
    steps.append(schema_steps.change_retention(cluster, "tls_policies", "day"))
    assert len(steps) > 25
    for step in steps:
        assert "ON CLUSTER `mail-eu`" in step.sql, step.name
        (formatted,) = storage.ask("SELECT formatQuery({sql:String})", sql=step.sql)[0]
        assert "ON CLUSTER `mail-eu`" in formatted, step.name
    for step in schema_steps.tables(SCHEMA_GROUPS, cluster):
        if "CREATE TABLE" in step.sql:
            assert "ENGINE = Replicated" in step.sql, step.name
        if "PARTITION BY" in step.sql:  # what is written again must not be swallowed as known: it may not be there
            assert "replicated_deduplication_window = 0" in step.sql, step.name
    with pytest.raises(Exception, match="SYNTAX_ERROR"):
        storage.ask("SELECT formatQuery({sql:String})", sql=steps[2].sql.replace("ORDER BY", "ORDER"))


def test_single_ddl_names_no_cluster(storage: Storage) -> None:
    config = storage.config.clickhouse
    for step in [*schema_steps.tables(SCHEMA_GROUPS, config), *schema_steps.views(SCHEMA_GROUPS, config)]:
        assert "CLUSTER" not in step.sql
        assert "ENGINE = Replicated" not in step.sql


def test_a_cluster_that_the_server_does_not_know_is_named(storage: Storage) -> None:
    with pytest.raises(StorageError, match=r"clickhouse.cluster: nowhere is not known to the server"):
        migrate(storage.client(), with_clickhouse(storage.config, cluster="nowhere"), SCHEMA_GROUPS)
