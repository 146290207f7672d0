"""The engine's child process: it starts, says what is wrong, ends with its parent, and loses nothing."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from engine import Storage, engine_config
from eventually import eventually

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import (
    Access,
    EmbeddedEngine,
    EngineError,
    EngineRunsError,
    _free_port,
    running_endpoint,
    use_or_start,
)
from mailposture.clickhouse.migrate import migrate
from mailposture.config.model import Listen
from reports.schema_groups import SCHEMA_GROUPS

NOW = datetime.now(UTC)

pytestmark = pytest.mark.slow


def is_running(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int) -> None:
    eventually("the engine ends with its parent", lambda: not is_running(pid))


def test_a_port_that_was_found_is_given_to_no_other_until_both_are_known() -> None:
    with (
        _free_port(Listen(host="127.0.0.1", port=0), "clickhouse.http") as port,
        socket.socket() as other,
        pytest.raises(OSError, match="already in use"),
    ):
        other.bind(("127.0.0.1", port))


def test_it_answers_over_http_and_native_and_ends_at_once(tmp_path: Path) -> None:
    engine = EmbeddedEngine(engine_config(tmp_path))
    endpoint = engine.start()
    assert engine.alive()
    for port in (endpoint.http_port, endpoint.native_port):
        socket.create_connection((endpoint.host, port), timeout=5).close()
    pid = engine.pid
    assert pid is not None
    engine.stop()
    assert not engine.alive()
    assert not is_running(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((endpoint.host, endpoint.http_port), timeout=5)


def test_only_its_own_account_reads_its_folder(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    with EmbeddedEngine(config) as endpoint:
        assert endpoint.passwords is not None
        files = [*endpoint.passwords.iterdir(), tmp_path / "engine/conf/users.xml"]
        assert len(files) == 5
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "engine").stat().st_mode) == 0o700
        text = (tmp_path / "engine/conf/users.xml").read_text()
        assert not any(file.read_text().strip() in text for file in endpoint.passwords.iterdir())


def test_passwords_and_rows_survive_a_restart(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    user = config.clickhouse.collector_user
    with EmbeddedEngine(config) as endpoint:
        client = connect(config, user=user, endpoint=endpoint)
        migrate(client, config, SCHEMA_GROUPS)
        columns = ["received_at", "reason"]
        client.insert("rejections", [[NOW, "x"]], column_names=columns, database="mailposture_tables")
        before = (tmp_path / "engine/passwords" / user).read_text()
    with EmbeddedEngine(config) as endpoint:
        client = connect(config, user=user, endpoint=endpoint)
        assert client.query("SELECT reason FROM rejections").result_rows == [("x",)]
        assert (tmp_path / "engine/passwords" / user).read_text() == before


def test_a_second_engine_on_a_data_folder_is_refused(storage: Storage) -> None:
    with pytest.raises(EngineRunsError, match="another process already runs the engine of this data folder"):
        EmbeddedEngine(storage.config).start()
    assert storage.ask("SELECT 1") == [(1,)]


def test_commands_use_the_engine_that_runs_and_leave_it_running(storage: Storage) -> None:
    with use_or_start(storage.config) as access:
        assert access == Access(endpoint=storage.endpoint, started=False)
    assert running_endpoint(storage.config) == storage.endpoint


def test_commands_start_an_engine_and_end_it_when_none_runs(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    with use_or_start(config) as access:
        assert access.started
        assert running_endpoint(config) is None, "nobody else finds it"
    assert running_endpoint(config) is None


def test_commands_at_once_take_turns(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    answers = []

    def command() -> None:
        with use_or_start(config) as access:
            client = connect(config, user=config.clickhouse.collector_user, endpoint=access.endpoint)
            answers.append(client.raw_query("SELECT 1", use_database=False))
            client.close_connections()

    threads = [threading.Thread(target=command) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [b"1\n"] * 4
    assert running_endpoint(config) is None


def test_a_taken_port_is_named_with_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for key in ("http", "native"):
            config = engine_config(tmp_path, clickhouse={key: f"127.0.0.1:{port}"})
            with pytest.raises(EngineError, match=rf"127.0.0.1:{port} .*another program.*clickhouse.{key}"):
                EmbeddedEngine(config).start()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in the way")
    with pytest.raises(EngineError, match=r"data/engine: cannot be used .*set `data` in the configuration"):
        EmbeddedEngine(engine_config(tmp_path / "data")).start()


@pytest.mark.parametrize(
    ("chdb", "message"),
    [
        ("raise ModuleNotFoundError('chdb')", r"not installed: run .*mailposture\[embedded\].*clickhouse.url"),
        ("raise ImportError('undefined symbol: x')", r"does not fit \(.*undefined symbol"),
        ("", r"does not fit \(its interface is not.*mailposture\[embedded\]"),
        (
            "def query(*a, **k): raise RuntimeError('Code: 1. broken')",
            r"did not start: Code: 1. broken",
        ),
        ("import os; os._exit(9)", r"ended with status 9 and said nothing"),
    ],
    ids=["missing", "unloadable", "changed", "broken", "dead"],
)
def test_what_is_wrong_with_the_wheel_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chdb: str, message: str
) -> None:
    stand_in(tmp_path, monkeypatch, chdb)
    with pytest.raises(EngineError, match=message):
        EmbeddedEngine(engine_config(tmp_path / "data")).start()


@pytest.mark.parametrize(
    ("mishap", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "the second time"),
        ("raise RuntimeError('Net Exception: Address already in use: 127.0.0.1:1')", "the second time"),
        ("os._exit(9)", "ended with status 9"),
    ],
)
def test_a_mishap_at_its_start_is_tried_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mishap: str, message: str
) -> None:
    chdb = f"""
        import os, pathlib, signal
        starts = pathlib.Path({str(tmp_path)!r}) / "starts"
        starts.open("ab").write(b"x")
        if starts.stat().st_size == 2:
            raise ImportError("the second time")
        {mishap}
    """
    stand_in(tmp_path, monkeypatch, textwrap.dedent(chdb))
    with pytest.raises(EngineError, match=message):
        EmbeddedEngine(engine_config(tmp_path / "data")).start()


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, chdb: str) -> None:
    """The child meets a stand-in for the library of the package chdb, put before the real one."""
    program = folder / "python"
    package = folder / "chdb"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_chdb.py").write_text(chdb)
    program.write_text(
        textwrap.dedent(f"""\
            #!{sys.executable} -I
            import runpy, sys
            sys.argv = sys.argv[3:]
            sys.path.insert(0, {str(folder)!r})
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
            """)
    )
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))


def test_the_engine_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""\
                import sys, time
                sys.path.insert(0, "tests")
                from pathlib import Path
                from engine import engine_config
                from mailposture.clickhouse.embedded import EmbeddedEngine
                engine = EmbeddedEngine(engine_config(Path({str(tmp_path)!r})))
                engine.start()
                sys.stdout.reconfigure(line_buffering=True)
                print("pid", engine.pid)
                time.sleep(600)
                """),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pid = next(int(line.split()[1]) for line in parent.stdout if line.startswith("pid"))
    assert is_running(pid)
    parent.kill()
    parent.wait()
    wait_until_gone(pid)
    with EmbeddedEngine(engine_config(tmp_path)) as endpoint:
        assert running_endpoint(engine_config(tmp_path)) == endpoint


def test_killed_in_the_middle_of_inserts_it_starts_again_with_all_that_was_acknowledged(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    user = config.clickhouse.collector_user
    with EmbeddedEngine(config) as endpoint:
        migrate(connect(config, user=user, endpoint=endpoint), config, SCHEMA_GROUPS)
    acknowledged = 0
    for round_ in range(3):
        engine = EmbeddedEngine(config)
        client = connect(config, user=user, endpoint=engine.start())
        migrate(client, config, SCHEMA_GROUPS)
        killer = threading.Timer(0.3 + 0.1 * round_, os.kill, (engine.pid, signal.SIGKILL))
        killer.start()
        try:
            while True:
                rows = [[NOW, str(acknowledged)]]
                columns = ["received_at", "held_id"]
                client.insert("rejections", rows, column_names=columns, database="mailposture_tables")
                acknowledged += 1
        except Exception:
            pass
        killer.join()
        assert engine.wait(60) == -signal.SIGKILL
        engine.stop()
    with EmbeddedEngine(config) as endpoint:
        client = connect(config, user=user, endpoint=endpoint)
        kept = {held_id for (held_id,) in client.query("SELECT held_id FROM rejections").result_rows}
    assert acknowledged > 0
    assert kept >= {str(number) for number in range(acknowledged)}
