"""docs/operations.md, "From the embedded engine to a server": its commands take all rows along."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from engine import Storage, engine_config
from programs import needs

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from reports.prepare import prepare

if TYPE_CHECKING:
    from mailposture.config import Config

pytestmark = [pytest.mark.slow, needs("curl")]

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
SERVER = "https://clickhouse.example.com:8443"


def script(url: str) -> str:
    """The page's commands, for a server at another address."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("## From the embedded engine to a server\n")[2].partition("\n## ")[0]
    (commands,) = re.findall(r"^   ```sh\n(.*?)^   ```$", section, re.DOTALL | re.MULTILINE)
    assert SERVER in commands
    return commands.replace(SERVER, url).replace("clickhouse.example.com", "127.0.0.1")


def counted(storage: Storage) -> dict[str, int]:
    """How many rows each table has, but for what is written at every start."""
    tables = storage.ask(
        "SELECT name FROM system.tables WHERE database = 'mailposture_tables' AND engine LIKE '%MergeTree'"
        " AND name NOT IN ('schema_steps', 'failure_words', 'configured_domains')"
    )
    return {name: storage.ask(f"SELECT count() FROM mailposture_tables.{name} FINAL")[0][0] for (name,) in tables}


def sums(storage: Storage) -> list[tuple[object, ...]]:
    return storage.ask("SELECT * FROM tls_domain_daily ORDER BY ALL") + storage.ask(
        "SELECT policy_domain, reporter, first_arrival, last_arrival FROM tls_reporters ORDER BY ALL"
    )


def filled(config: Config) -> tuple[dict[str, int], list[tuple[object, ...]]]:
    """An engine's folder with some rows in each table."""
    with EmbeddedEngine(config) as endpoint, closing(connect(config, user="mailposture_collector")) as client:
        prepare(client, config)
        storage = Storage(config=config, endpoint=endpoint)
        storage.put("tls_reports", {"report_key": 1}, {"report_key": 2, "organization": "Sender Two"})
        storage.put("tls_policies", {"report_key": 1, "successful_sessions": 5, "failed_sessions": 1})
        storage.put("tls_policies", {"report_key": 2, "successful_sessions": 7, "organization": "Sender Two"})
        storage.put("tls_failures", {"report_key": 1})
        storage.put("dmarc_reports", {})
        storage.put("dmarc_records", {}, {"record_index": 1, "passed": False})
        storage.put("probe_results", {})
        storage.put("rejections", {})
        for table in [name for name, rows in counted(storage).items() if not rows]:
            put_a_row(storage, table)
        storage.roll_up()  # as each command does that starts the old engine
        rows = counted(storage)
        assert all(rows.values()), "each table has something to leave behind"
        return rows, sums(storage)


def put_a_row(storage: Storage, table: str) -> None:
    """A row of defaults, but for its days, or the time that is its version: rows of 1970 would be too old to keep."""
    values = {
        name: "today()" if "Date" in kind else "toUnixTimestamp64Milli(now64(3))"
        for name, kind in storage.ask(
            "SELECT name, type FROM system.columns WHERE database = 'mailposture_tables' AND table = {table:String}",
            table=table,
        )
        if re.fullmatch(r"(SimpleAggregateFunction\(\w+, )?Date.*", kind) or (name, kind) == ("version", "UInt64")
    }
    storage.client().command(
        f"INSERT INTO mailposture_tables.{table} ({', '.join(values)}) SELECT {', '.join(values.values())}"
    )


def test_the_commands_of_the_page_leave_nothing_behind(tmp_path: Path) -> None:
    old = engine_config(tmp_path / "old")
    before = filled(old)
    settings = {"domains": [{"name": each.name} for each in old.domains], "data": str(old.data)}
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "mailposture").write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    (tmp_path / "mailposture").chmod(0o700)
    new = engine_config(tmp_path / "new")
    with EmbeddedEngine(new) as server:
        with closing(connect(new, user="mailposture_collector")) as client:
            prepare(client, new)
        assert server.passwords is not None
        (tmp_path / "passwords").symlink_to(server.passwords)
        for _ in range(2):
            done = subprocess.run(
                ["sh", "-eu", "-c", script(server.url)],
                cwd=tmp_path,
                env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(PAGE.parents[1])},
                capture_output=True,
                text=True,
                timeout=600,  # each table starts the old engine
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, "")
        storage = Storage(config=new, endpoint=server)
        assert (counted(storage), sums(storage)) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mailposture", "new", "old", "old.yaml", "passwords"]
