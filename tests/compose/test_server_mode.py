"""Collector and exporter as the stack runs them: with the stack's configuration, against ClickHouse as a server.

The server is the embedded engine's HTTP port under another process's care; the services know only its URL and the
folder of passwords, and cannot load an engine of their own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from clickhouse_connect.driver.exceptions import ClickHouseError
from clock import REAL_TODAY
from eventually import eventually
from ports import free_port

from demo.config import config_text
from demo.keys import load_or_generate, public_records
from demo.mail import DemoMail, Fate
from demo.nameserver import Nameserver
from demo.send import send
from demo.tls.mails import mails
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.config.file import load
from mailposture.config.model import Config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=60) as page:
            return str(page.read().decode())
    except OSError:
        return ""


@dataclass(kw_only=True)
class Server:
    """ClickHouse at an address that stays the same over restarts."""

    config: Config
    engine: EmbeddedEngine | None = None

    def start(self) -> None:
        self.engine = EmbeddedEngine(self.config)
        self.engine.start()

    def stop(self) -> None:
        if self.engine is not None:
            self.engine.stop()
            self.engine = None


@dataclass(kw_only=True)
class Stack:
    """The services of the stack, as processes."""

    folder: Path
    server: Server
    smtp: int
    collector: str
    exporter: str
    month: list[DemoMail]
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def config_path(self) -> Path:
        return self.folder / "mailposture.yaml"

    def environment(self) -> dict[str, str]:
        """As in the image: the configuration's place in a variable, and no embedded engine installed."""
        return {**os.environ, "MAILPOSTURE_CONFIG": str(self.config_path), "PYTHONPATH": str(self.folder / "no-engine")}

    def start(self, *command: str) -> None:
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "cli", *command],
                    cwd=self.folder,
                    env=self.environment(),
                    stdout=log,
                    stderr=log,
                )
            )

    def run(self, *command: str, given: bytes = b"") -> str:
        """What a command prints, as `docker compose exec collector mailposture …` would."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *command],
            cwd=self.folder,
            env=self.environment(),
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def stored(self) -> int:
        """How many reports an analyst finds."""
        config = load(self.config_path)
        client = connect(config, user=config.clickhouse.analyst_user)
        try:
            return int(str(client.command("SELECT count() FROM tls_report_log")))
        except ClickHouseError:
            return 0  # before the collector has made the views
        finally:
            client.close()

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(60)


@pytest.fixture
def stack(tmp_path: Path, root: Path) -> Iterator[Stack]:
    keys = load_or_generate(tmp_path / "keys")
    http_port = free_port()
    engine_config = Config.model_validate(
        {
            "domains": [{"name": "example.com"}],
            "data": tmp_path / "server",
            "clickhouse": {"http": f"127.0.0.1:{http_port}", "native": "127.0.0.1:0"},
        }
    )
    (tmp_path / "no-engine" / "chdb").mkdir(parents=True)
    (tmp_path / "no-engine" / "chdb" / "__init__.py").write_text("raise ImportError('not in the image')\n")
    smtp, collector, exporter = free_port(), free_port(), free_port()
    with Nameserver(public_records(keys)) as nameserver:
        settings: dict[str, Any] = yaml.safe_load((root / "docker" / "configuration" / "mailposture.yaml").read_text())
        demo = yaml.safe_load(config_text(nameserver=nameserver.address))
        settings |= {"domains": demo["domains"], "authentication": demo["authentication"], "probes": demo["probes"]}
        settings["data"] = "spool"
        settings["smtp"] = {"listen": f"127.0.0.1:{smtp}"}
        settings["https"] = {"listen": f"127.0.0.1:{free_port()}"}
        settings["metrics"] = {
            "collector": f"127.0.0.1:{collector}",
            "exporter": f"127.0.0.1:{exporter}",
            "refresh": "1s",
        }
        settings["clickhouse"] |= {
            "url": f"http://127.0.0.1:{http_port}",
            "passwords": str(tmp_path / "server" / "engine" / "passwords"),
        }
        (tmp_path / "mailposture.yaml").write_text(yaml.safe_dump(settings))
        started = Stack(
            folder=tmp_path,
            server=Server(config=engine_config),
            smtp=smtp,
            collector=f"http://127.0.0.1:{collector}",
            exporter=f"http://127.0.0.1:{exporter}",
            month=[mail for mail in mails(REAL_TODAY, keys) if mail.fate is Fate.STORED],
            log=tmp_path / "log",
        )
        try:
            yield started
        finally:
            started.end()
            started.server.stop()


def test_reports_by_mail_reach_a_server_and_metrics(stack: Stack) -> None:
    first, second = stack.month[-60:-30], stack.month[-30:]
    stack.server.start()
    stack.start("collector")
    stack.start("exporter")
    eventually("collector healthy", lambda: fetch(f"{stack.collector}/healthz") == "ok\n")

    assert send(first, host="127.0.0.1", port=stack.smtp) == 30
    eventually("thirty reports stored", lambda: stack.stored() == 30)
    eventually("exporter ready", lambda: fetch(f"{stack.exporter}/readyz") == "ready\n")
    eventually("reported metrics", lambda: "\ntlsrpt_" in fetch(f"{stack.exporter}/metrics"))

    # ClickHouse goes away: mail is accepted all the same, health says so, and rows follow when it is back.
    stack.server.stop()
    assert send(second, host="127.0.0.1", port=stack.smtp) == 30
    eventually("health says so", lambda: "ClickHouse does not answer" in fetch(f"{stack.collector}/healthz"))
    stack.server.start()
    eventually("sixty reports stored", lambda: stack.stored() == 60)
    assert send(second, host="127.0.0.1", port=stack.smtp) == 30
    metrics = f"{stack.collector}/metrics"
    eventually("spool empty", lambda: "\nmailposture_spool_messages 0.0\n" in fetch(metrics))
    assert stack.stored() == 60, "the same reports again count once"


def test_a_drill_is_imported_seen_and_removed_beside_a_running_collector(stack: Stack, root: Path) -> None:
    stack.server.start()
    stack.start("collector")
    eventually("collector healthy", lambda: fetch(f"{stack.collector}/healthz") == "ok\n")
    drill = root / "docker" / "drill.sh"
    report = subprocess.run([drill, "report", "bank.example"], check=True, capture_output=True).stdout
    assert stack.run("import", "-", given=report).startswith("1 reports, 0 duplicates, 0 rejected")
    assert stack.run("import", "-", given=report).startswith("0 reports, 1 duplicates, 0 rejected")
    assert "\nbank.example,60,40," in stack.run("summary", "--format", "csv")
    seen = "SELECT policy_domain, category, failed_sessions FROM tls_failures_daily"
    assert stack.run("sql", seen) == "bank.example\tcertificate\t40\n", "alerts look at this view"
    assert stack.run("migrate", "--dry-run").startswith("-- the database has the schema of this version")

    script = drill.read_text()
    (sender,) = re.findall(r'^sender="(.*)"$', script, re.MULTILINE)
    removals = re.findall(r'for table in ([^;]*);.*?"(ALTER TABLE [^"]*)"', script, re.DOTALL)
    config = load(stack.config_path)
    client = connect(config, user=config.clickhouse.collector_user)
    for tables, statement in removals:
        for table in tables.split():
            client.command(statement.replace("$table", table).replace("$sender", sender))
    emptied = ("tls_failures", "tls_policies", "tls_sender_days", "tls_reporter_arrivals")
    left = [client.command(f"SELECT count() FROM mailposture_tables.{table} FINAL") for table in emptied]
    client.close()
    assert stack.stored() == 0
    assert left == [0] * len(emptied)


def test_nobody_can_send_the_report_of_a_drill_before_it(root: Path) -> None:
    """A signed copy takes the place of what is imported, and the newcomer who signed it counts for little."""
    drill = [root / "docker" / "drill.sh", "report", "bank.example"]
    one, another = (json.loads(subprocess.run(drill, check=True, capture_output=True).stdout) for _ in range(2))
    assert one.pop("report-id") != another.pop("report-id")
    assert one == another
