"""No SQL user gets at the files, descriptors or hosts around the engine, whatever function or setting he names.

One table of attacks for every user, over HTTP as anybody would send them; and, because no list is complete, every
function that the engine has, handed a file while the kernel watches who opens it.
"""

from __future__ import annotations

import ctypes
import http.client
import os
import stat
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from mailposture.clickhouse.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Storage

READERS = ("exporter", "analyst", "grafana")
ALL_USERS = ("collector", *READERS)

ACCESS_DENIED, READONLY, CONSTRAINT, PATH_ACCESS_DENIED, BAD_ARGUMENTS, REPLACED = 497, 164, 452, 481, 36, 395


def refused(engine: Storage, sql: str, user: str) -> int | None:
    with pytest.raises(DatabaseError) as caught:
        engine.client(user).raw_query(sql)
    return caught.value.code


def engine_process(engine: Storage) -> psutil.Process:
    lock = str(engine.config.data.absolute() / "engine")
    children = psutil.Process().children(recursive=True)
    return next(child for child in children if lock in child.cmdline())


PATHS = (
    "/etc/hostname",
    "/proc/self/fd/0",
    "/proc/self/environ",
    "/proc/self/statm",
    "/dev/stdin",
    "/dev/urandom",
    "users.xml",
    "../store/status",
)


@pytest.mark.parametrize("user", ALL_USERS)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT file('{}')",
        "SELECT file(materialize('{}'))",
        "SELECT arrayMap(file, ['{}'])",
        "SELECT arrayMap(path -> file(path), ['{}'])",
        "SELECT * APPLY(file) FROM (SELECT '{}')",
        "SELECT b FROM values('a String, b String ALIAS file(''{}'')', ('x'))",
        "SELECT * FROM view(SELECT file('{}'))",
        "SELECT 1 WHERE file('{}') != ''",
    ],
)
def test_the_scalar_function_file_reads_nothing(engine: Storage, user: str, path: str, sql: str) -> None:
    """It needs no grant."""
    assert refused(engine, sql.format(path), user) == REPLACED


@pytest.mark.parametrize("user", READERS)
def test_nor_do_the_settings_that_hold_expressions(storage: Storage, user: str) -> None:
    storage.put("tls_policies", {})
    expression = "file('/etc/hostname') != ''"
    quoted = expression.replace("'", "\\'")
    filters = f"{{'mailposture.tls_sender_daily': '{quoted}'}}"
    for setting, value in (("additional_table_filters", filters), ("filter", expression), ("select", expression)):
        with pytest.raises(DatabaseError) as caught:
            storage.client(user).raw_query("SELECT day FROM tls_sender_daily", settings={setting: value})
        assert caught.value.code == REPLACED, setting


@pytest.mark.parametrize("user", ALL_USERS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('{}', 'LineAsString')",
        "SELECT * FROM file(0, 'LineAsString', 'line String')",
        "SELECT * FROM file(stdin, 'LineAsString', 'line String')",
        "SELECT * FROM url('file://{}', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM filesystem('{}')",
        "SELECT * FROM icebergLocal('{}')",
        "SELECT * FROM deltaLakeLocal('{}')",
        "SELECT * FROM sqlite('{}', 'a')",
        "SELECT * FROM default.`{}`",
        "SELECT * FROM values('a String', file('{}'))",
        "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/key', 'CSV', 'a String')",
        "SELECT * FROM executable('id', 'LineAsString', 'a String')",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'x String')",
        "SELECT * FROM redis('127.0.0.1:1', 'key', 'key String')",
        "INSERT INTO FUNCTION file('{}', 'CSV', 'a String') SELECT 'x'",
        "INSERT INTO FUNCTION sqlite('{}', 'a') SELECT 'x'",
        "CREATE DICTIONARY mailposture.d (a UInt64) PRIMARY KEY a"
        " SOURCE(FILE(PATH '{}' FORMAT 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
        "CREATE TABLE mailposture.t (a String) ENGINE = File(CSV)",
        "CREATE TABLE mailposture.t (a String) ENGINE = URL('http://127.0.0.1:1/', 'CSV')",
        "CREATE TABLE mailposture.t (a String) ENGINE = Executable('id', 'CSV')",
        "CREATE DATABASE d ENGINE = Filesystem('/')",
        "CREATE FUNCTION mine AS path -> path",
        "DROP FUNCTION file",
        "CREATE NAMED COLLECTION c AS url = 'http://127.0.0.1:1/'",
    ],
)
def test_nobody_reaches_files_or_hosts_by_a_statement(engine: Storage, user: str, sql: str) -> None:
    for path in (
        "/etc/hostname",
        "/proc/self/fd/0",
        str(engine.config.data.absolute() / "engine/store/metadata/x.sql"),
    ):
        assert refused(engine, sql.format(path), user) in (ACCESS_DENIED, READONLY, PATH_ACCESS_DENIED)
    assert not (engine.config.data / "engine/store/metadata/x.sql").exists()


@pytest.mark.parametrize("user", READERS)
@pytest.mark.parametrize(
    "setting",
    [
        "format_template_row",
        "format_template_resultset",
        "format_schema",
        "output_format_schema",
        "input_format_record_errors_file_path",
        "format_avro_schema_registry_url",
    ],
)
def test_readers_set_nothing_that_names_a_file(engine: Storage, user: str, setting: str) -> None:
    for sql in (f"SELECT 1 SETTINGS {setting} = '/proc/self/fd/0'", f"SET {setting} = '/proc/self/fd/0'"):
        assert refused(engine, sql, user) in (READONLY, CONSTRAINT)


@pytest.mark.slow
@pytest.mark.parametrize("user", ALL_USERS)
def test_a_crowd_that_reads_descriptors_keeps_nobody_waiting(engine: Storage, user: str) -> None:
    """Descriptors that block were read for ever, and no limit of a query ended it."""
    descriptors = [*range(40), *range(40)]

    def read(descriptor: int) -> int | None:
        client = connect(engine.config, user=f"mailposture_{user}", endpoint=engine.endpoint)
        try:
            client.raw_query(f"SELECT file('/proc/self/fd/{descriptor}')")
        except DatabaseError as error:
            return error.code
        finally:
            client.close()
        return None

    with ThreadPoolExecutor(20) as crowd:
        assert set(crowd.map(read, descriptors)) == {REPLACED}
    assert engine.ask("SELECT 1", user) == [(1,)]


def test_standard_input_is_nothing_that_can_be_opened_again(engine: Storage) -> None:
    """The kernel's sandbox does not cover pipes."""
    process = engine_process(engine)
    assert stat.S_ISSOCK(Path(f"/proc/{process.pid}/fd/0").stat().st_mode)
    with pytest.raises(OSError, match="No such device"):
        Path(f"/proc/{process.pid}/fd/0").read_bytes()


def test_the_engine_has_no_environment_to_leak(engine: Storage) -> None:
    assert engine_process(engine).environ() == {}


@pytest.fixture
def canaries(engine: Storage) -> Iterator[tuple[Path, Watch]]:
    """A folder in which the engine may do everything, watched."""
    folder = engine.config.data / "engine/store/canaries"
    folder.mkdir()
    (folder / "here").write_text("canary")
    watch = Watch(folder)
    try:
        yield folder, watch
    finally:
        watch.close()
        (folder / "here").unlink()
        folder.rmdir()


class Watch:
    """Who opens or makes files in a folder (inotify(7))."""

    _OPENED, _MADE = 0x20, 0x100

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(folder), self._OPENED | self._MADE) >= 0

    def events(self) -> int:
        try:
            noted, number = os.read(self._descriptor, 1 << 20), 0
        except BlockingIOError:
            return 0
        while noted:
            (length,) = struct.unpack_from("=12xI", noted)
            noted, number = noted[16 + length :], number + 1
        return number

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.mark.slow
def test_no_function_opens_a_file_that_it_is_handed(engine: Storage, canaries: tuple[Path, Watch]) -> None:
    folder, watch = canaries
    (folder / "here").read_text()
    assert watch.events() == 1, "the watch sees what is opened"
    scalars, tables = (
        engine.client("grafana").raw_query(f"SELECT name FROM system.{kind} FORMAT LineAsString").decode().split()
        for kind in ("functions WHERE NOT is_aggregate", "table_functions")
    )
    here, zone, absent = str(folder / "here"), f"file:{folder}/here", str(folder / "absent")
    calls = [
        *(f"SELECT `{name}`({hand})" for name in scalars for hand in _handed(here)),
        *(f"SELECT `{name}`({hand})" for name in scalars for hand in _handed(zone)[:3]),
        *(f"SELECT * FROM `{name}`({hand})" for name in tables for path in (here, absent) for hand in _handed(path)),
    ]
    assert len(calls) > 10_000
    assert engine.endpoint.passwords is not None
    password = (engine.endpoint.passwords / "mailposture_grafana").read_text().strip()
    credentials = {"X-ClickHouse-User": "mailposture_grafana", "X-ClickHouse-Key": password}
    answers: list[int] = []

    def send(some: list[str]) -> None:
        connection = http.client.HTTPConnection(engine.endpoint.host, engine.endpoint.http_port, timeout=60)
        for call in some:
            connection.request("POST", "/?database=mailposture", f"{call} LIMIT 1", credentials)
            answer = connection.getresponse()
            answer.read()
            answers.append(answer.status)
        connection.close()

    with ThreadPoolExecutor(4) as senders:
        list(senders.map(send, [calls[start::4] for start in range(4)]))
    assert len(answers) == len(calls), "an answer each, not a broken connection"
    assert watch.events() == 0
    assert [file.name for file in folder.iterdir()] == ["here"]


def _handed(path: str) -> list[str]:
    """A path among a function's arguments."""
    return [
        f"'{path}'",
        f"now(), '{path}'",
        f"1, '{path}'",
        f"'{path}', 'x'",
        f"'x', '{path}'",
        f"'{path}', 'CSV', 'a Int8'",
    ]


@pytest.mark.parametrize("user", ALL_USERS)
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT now('{}')",
        "SELECT toTimeZone(now(), '{}')",
        "SELECT toDateTime('2026-01-01 00:00:00', '{}')",
        "SELECT CAST(now() AS DateTime('{}'))",
        "SELECT * FROM generateRandom('a DateTime64(3, ''{}'')') LIMIT 1",
    ],
)
def test_no_time_zone_is_read_from_a_file(engine: Storage, canaries: tuple[Path, Watch], user: str, sql: str) -> None:
    folder, watch = canaries
    for path in ("/proc/self/fd/4", "/proc/self/fd/5", f"{folder}/here"):
        assert refused(engine, sql.format(f"file:{path}"), user) == BAD_ARGUMENTS
    assert watch.events() == 0


@pytest.mark.parametrize("user", ALL_USERS)
def test_nor_do_tables_that_come_with_a_query(engine: Storage, canaries: tuple[Path, Watch], user: str) -> None:
    """External data is parsed by ClickHouse's formats, some of which hold expressions."""
    folder, watch = canaries
    for structure, data, code in (
        ("a String", f"(file('{folder}/here'))", REPLACED),
        ("a DateTime", f"(now('file:{folder}/here'))", BAD_ARGUMENTS),
        (f"a DateTime('file:{folder}/here')", "(now())", BAD_ARGUMENTS),
    ):
        given = ExternalData(file_name="given", data=data.encode(), fmt="Values", structure=structure)
        with pytest.raises(DatabaseError) as caught:
            engine.client(user).raw_query("SELECT * FROM given", external_data=given)
        assert caught.value.code == code
    assert watch.events() == 0


def test_only_the_ways_of_clickhouse_itself_open_files_once_the_filter_is_in_place(tmp_path: Path) -> None:
    """In a process of its own, for it cannot be undone; threads that run already are covered."""
    script = f"""
import os, threading
from mailposture.clickhouse.sandbox import refuse_other_ways_to_open
path, denied, filtered = {str(tmp_path / "file")!r}, [], threading.Event()
def open_all():
    filtered.wait()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    os.close(os.open({str(tmp_path)!r}, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
    for flags in (os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, os.O_RDONLY | os.O_NOFOLLOW):
        try:
            os.open(path, flags)
        except PermissionError:
            denied.append(flags)
    import ctypes
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    if libc.fopen(os.fsencode(path), b"rb") is None:
        denied.append("fopen")
    if libc.fopen(os.fsencode(path), b"rbe") is not None:
        denied.append("but for O_CLOEXEC")
thread = threading.Thread(target=open_all)
thread.start()
refuse_other_ways_to_open()
filtered.set()
thread.join()
assert len(denied) == 4, denied
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
