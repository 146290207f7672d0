"""What each SQL user may do on the real engine, and what nobody may."""

from __future__ import annotations

import http.client
import urllib.parse
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError
from engine import TODAY

if TYPE_CHECKING:
    from engine import Storage

pytestmark = pytest.mark.slow

READERS = ("exporter", "analyst", "grafana")
ALL_USERS = ("collector", *READERS)

ACCESS_DENIED, READONLY, CONSTRAINT, FUNCTION_NOT_ALLOWED = 497, 164, 452, 446
QUERY_IS_PROHIBITED, CANNOT_OPEN, PATH_ACCESS_DENIED = 392, 76, 481


def refused(storage: Storage, sql: str, user: str) -> int | None:
    with pytest.raises(DatabaseError) as caught:
        storage.client(user).raw_query(sql)
    return caught.value.code


def names_in(storage: Storage, database: str) -> list[str]:
    names = storage.ask("SELECT name FROM system.tables WHERE database = {database:String}", database=database)
    return [name for (name,) in names]


@pytest.mark.parametrize("user", READERS)
def test_readers_read_every_view(storage: Storage, user: str) -> None:
    views = names_in(storage, "mailposture")
    assert len(views) >= 18
    for view in views:
        asked = f"{view}(end = (SELECT today FROM clock))" if view.endswith("_at") else view
        assert isinstance(storage.ask(f"SELECT * FROM {asked} LIMIT 1", user), list)
    assert sorted(storage.ask("SHOW TABLES", user)) == sorted((view,) for view in views)


@pytest.mark.parametrize("user", READERS)
def test_readers_reach_no_table_below_the_views(storage: Storage, user: str) -> None:
    tables = names_in(storage, "mailposture_tables")
    assert len(tables) >= 10
    for table in tables:
        assert refused(storage, f"SELECT count() FROM mailposture_tables.{table}", user) == ACCESS_DENIED, table


def test_views_and_tables_are_apart(storage: Storage) -> None:
    where = storage.ask("SELECT database, engine = 'View' FROM system.tables WHERE startsWith(database, 'mailposture')")
    assert set(where) == {("mailposture", 1), ("mailposture_tables", 0)}


@pytest.mark.parametrize("user", READERS)
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO mailposture_tables.rejections (reason) VALUES ('x')",
        "ALTER TABLE mailposture_tables.rejections DELETE WHERE 1",
        "TRUNCATE TABLE mailposture_tables.tls_policies",
        "DROP VIEW mailposture.tls_domain_daily",
        "CREATE TABLE mailposture.mine (a UInt8) ENGINE = Memory",
        "CREATE TABLE mailposture_tables.mine (a UInt8) ENGINE = Memory",
        "CREATE VIEW mailposture.mine AS SELECT 1",
        "CREATE DATABASE mine",
        "INSERT INTO FUNCTION file('/tmp/written', 'CSV', 'a String') SELECT 'x'",
        "SYSTEM STOP MERGES mailposture_tables.tls_policies",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP LISTEN HTTP",
        "KILL QUERY WHERE 1",
        "CREATE TEMPORARY TABLE mine (a UInt8)",
        "CREATE FUNCTION file AS path -> path",
        "DROP FUNCTION file",
        "BACKUP TABLE mailposture_tables.tls_policies TO File('tls_policies')",
    ],
)
def test_readers_cannot_change_anything(storage: Storage, user: str, sql: str) -> None:
    assert refused(storage, sql, user) in (ACCESS_DENIED, READONLY)


@pytest.mark.parametrize("user", ALL_USERS)
@pytest.mark.parametrize("settings", ["", " SETTINGS allow_python_table_function = 1"])
def test_nobody_crashes_the_engine_by_the_python_table_function(storage: Storage, user: str, settings: str) -> None:
    assert refused(storage, f"SELECT * FROM python(x){settings}", user) in (FUNCTION_NOT_ALLOWED, QUERY_IS_PROHIBITED)
    assert storage.ask("SELECT 1", user) == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT groupArray(repeat('x', 1000000)) FROM numbers(100000)",  # 100 GB
        "SELECT uniqExact(number) FROM numbers(1000000000) SETTINGS max_execution_time = 1",
        f"SELECT {'(' * 5000}1{')' * 5000}",
        "SELECT count() FROM numbers(1000000) AS b, numbers(1000000) AS c SETTINGS max_execution_time = 1",
        "SELECT * FROM tls_sender_daily WHERE match(organization, '(a*)*b')",
    ],
    ids=["memory", "time", "depth", "product", "pattern"],
)
def test_expensive_queries_end_and_the_engine_lives_on(storage: Storage, sql: str) -> None:
    try:
        storage.client("grafana").raw_query(sql)
    except DatabaseError as error:
        assert error.code is not None  # noqa: PT017  an answer, not a broken connection
    assert storage.ask("SELECT 1", "grafana") == [(1,)]


def test_settings_that_grafana_sends_are_accepted(storage: Storage) -> None:
    storage.put("tls_policies", {"policy_domain": "example.com"}, {"policy_domain": "example.net"})
    settings = {
        "max_execution_time": 65,
        "additional_table_filters": "{'mailposture.tls_sender_daily': 'policy_domain = \\'example.com\\''}",
    }
    answer = storage.client("grafana").raw_query("SELECT policy_domain FROM tls_sender_daily", settings=settings)
    assert answer == b"example.com\n"


@pytest.mark.parametrize(
    "setting", ["max_execution_time = 0", "max_execution_time = 500", "readonly = 0", "max_memory_usage = 0"]
)
def test_readers_cannot_lift_their_limits(storage: Storage, setting: str) -> None:
    assert refused(storage, f"SELECT 1 SETTINGS {setting}", "grafana") in (CONSTRAINT, READONLY)


def test_an_additional_filter_does_not_show_what_the_view_hides(storage: Storage) -> None:
    """Filters on tables under a view could otherwise be used to probe hidden columns."""
    storage.put("tls_policies", {"report_key": 7, "successful_sessions": 5})
    probe = "{'mailposture_tables.tls_policies': 'report_key != 7'}"
    counted = storage.client("exporter").raw_query(
        f"SELECT sum(successful_sessions) FROM tls_domain_daily SETTINGS additional_table_filters = {probe}"
    )
    assert counted == b"5\n"


@pytest.mark.parametrize("credentials", ["", "user=default&", "user=default&password=default&"])
def test_nobody_logs_in_as_the_user_who_opened_the_listeners(storage: Storage, credentials: str) -> None:
    for sql in ("SELECT 1", "SELECT file('/etc/hostname')", "SYSTEM STOP LISTEN HTTP"):
        connection = http.client.HTTPConnection(storage.endpoint.host, storage.endpoint.http_port, timeout=60)
        connection.request("POST", f"/?{credentials}query={urllib.parse.quote(sql)}")
        response = connection.getresponse()
        assert response.status >= 400
        response.read()
        connection.close()
    assert storage.ask("SELECT 1") == [(1,)]


def test_hidden_system_tables_stay_hidden(storage: Storage) -> None:
    for table in ("users", "processes", "grants", "server_settings"):
        assert refused(storage, f"SELECT * FROM system.{table}", "grafana") == ACCESS_DENIED


def test_the_exporter_writes_what_probes_see_and_nothing_else(storage: Storage) -> None:
    insert = "INSERT INTO mailposture_tables.{} FORMAT JSONEachRow {{}}"
    storage.client("exporter").raw_query(f"INSERT INTO mailposture_tables.probe_results (day) VALUES ('{TODAY}')")
    assert storage.ask("SELECT count() FROM mailposture_tables.probe_results") == [(1,)]
    storage.client("exporter").raw_query("INSERT INTO mailposture_tables.spf_networks (policy_domain) VALUES ('x')")
    for table in set(names_in(storage, "mailposture_tables")) - {"probe_results", "spf_networks", "digests_sent"}:
        assert refused(storage, insert.format(table), "exporter") == ACCESS_DENIED, table
    assert refused(storage, "SELECT count() FROM mailposture_tables.probe_results", "exporter") == ACCESS_DENIED
    for user in ("analyst", "grafana"):
        assert refused(storage, insert.format("probe_results"), user) in (ACCESS_DENIED, READONLY)


def test_every_column_of_a_view_is_explained(storage: Storage) -> None:
    # A materialized view hands rows on to a table, whose columns are explained.
    missing = storage.ask(
        "SELECT table, name FROM system.columns WHERE startsWith(database, 'mailposture') AND comment = ''"
        " AND table NOT IN (SELECT name FROM system.tables WHERE engine = 'MaterializedView')"
    )
    assert [row for row in missing if row[0] != "schema_lock"] == []


def test_hostile_names_stay_data(storage: Storage) -> None:
    hostile = "x' OR 1=1; DROP TABLE tls_policies -- {database} \\"
    storage.put("tls_policies", {"organization": hostile, "successful_sessions": 1})
    found = storage.ask(
        "SELECT organization FROM tls_sender_daily WHERE organization = {name:String}", "grafana", name=hostile
    )
    assert found == [(hostile,)]


def test_a_wrong_setting_in_a_client_is_an_error_not_a_hang(storage: Storage) -> None:
    with pytest.raises((DatabaseError, ProgrammingError)):
        storage.client("grafana").query("SELECT 1", settings={"no_such_setting": 1})
