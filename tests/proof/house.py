"""`mailposture run` with a configuration of its own: collector, embedded engine and exporter as one command.

It is the day on which the tests began, also after midnight, for views and all that ask them; mail arrives in real time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import yaml
from clock import REAL_TODAY
from engine import keep_day
from eventually import eventually
from ports import free_port

from mailposture.clickhouse.client import connect
from mailposture.config.file import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

_COMMAND = (sys.executable, "-m", "cli")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "MAILPOSTURE_CONFIG"}


@dataclass(frozen=True, kw_only=True)
class House:
    """What runs, and ways to ask it."""

    path: Path
    config: Config
    program: tuple[str, ...] = _COMMAND
    environment: Mapping[str, str] = field(default_factory=dict)  # more of it, for its commands
    _clients: dict[str, Client] = field(default_factory=dict)

    def close(self) -> None:
        """End connections to the database."""
        for client in self._clients.values():
            client.close_connections()

    def renewed(self) -> str:
        """A page of the exporter for which every question was asked after this call began.

        It asks one after another: a page that shows one thing may be older than it in everything else.
        """
        before = self._renewals()
        eventually("the exporter to ask all again", lambda: self._renewals() >= before + 2)  # one had perhaps begun
        return self.page("exporter")

    def _renewals(self) -> float:
        return _number(self.page("exporter"), 'mailposture_reported_refreshes_total{outcome="success"}')

    def page(self, which: str) -> str:
        """The metrics of `collector`, or of `exporter` as they are now (mostly `renewed()` is right)."""
        with urllib.request.urlopen(f"http://{getattr(self.config.metrics, which)}/metrics", timeout=60) as answer:
            text: str = answer.read().decode()
            return text

    def metric(self, series: str) -> float:
        """The number of one series of the collector, written as on its page; 0 if it is not there."""
        return _number(self.page("collector"), series)

    def ask(self, query: str, *, user: str = "analyst") -> list[dict[str, Any]]:
        """Rows of an answer, for one of the SQL users."""
        if user not in self._clients:
            self._clients[user] = connect(self.config, user=getattr(self.config.clickhouse, f"{user}_user"))
        answer = self._clients[user].query(query)
        return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]

    def collector(self) -> Client:
        """A client of the SQL user that writes; to be closed."""
        return connect(self.config, user=self.config.clickhouse.collector_user)

    def make_known(self, domain: str, reporters: Iterable[str], trust: str) -> None:
        """Have reporters accepted before today: what newcomers say counts for little in alerts."""
        first, last = (datetime.combine(REAL_TODAY - timedelta(days=days), time(), UTC) for days in (40, 1))
        rows = [(domain, reporter, trust, first, last) for reporter in reporters]
        names = ("policy_domain", "reporter", "trust", "first_arrival", "last_arrival")
        with closing(self.collector()) as collector:
            tables = self.config.clickhouse.tables_database
            collector.insert("tls_reporter_arrivals", rows, column_names=names, database=tables)

    def command(self, *arguments: str) -> bytes:
        """What a subcommand of `mailposture` prints."""
        line = [*self.program, *arguments, "--config", str(self.path)]
        done = subprocess.run(line, capture_output=True, check=False, env=_ENVIRONMENT | self.environment, timeout=120)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        return done.stdout + done.stderr


def _number(page: str, series: str) -> float:
    found = re.search(rf"^{re.escape(series)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


def settings(**more: Any) -> dict[str, Any]:
    """A configuration on free ports, without domains."""
    listen = {name: f"127.0.0.1:{free_port()}" for name in ("smtp", "https", "collector", "exporter", "http", "native")}
    return {
        "data": "data",
        "smtp": {"listen": listen["smtp"]},
        "https": {"listen": listen["https"], **more.pop("https", {})},
        "metrics": {"collector": listen["collector"], "exporter": listen["exporter"], "refresh": "1s"},
        "clickhouse": {"http": listen["http"], "native": listen["native"]},
        "probes": {"enabled": False},
        **more,
    }


@contextmanager
def running_house(folder: Path, configuration: dict[str, Any], **environment: str) -> Iterator[House]:
    """Start it in a folder, and end it; it and its commands get more of an environment."""
    path = folder / "mailposture.yaml"
    path.write_text(yaml.safe_dump(configuration))
    house = House(path=path, config=load(path), environment=environment)
    with (folder / "mailposture.log").open("wb") as words:
        process = subprocess.Popen(
            [*_COMMAND, "run", "--config", str(path)],
            cwd=folder,
            env=_ENVIRONMENT | environment,
            stdout=words,
            stderr=words,
        )
    try:
        eventually("collector and exporter", lambda: _runs(house, process), within=180)
        with closing(house.collector()) as collector:
            keep_day(collector, house.config)
        yield house
    finally:
        house.close()
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _runs(house: House, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, (house.path.parent / "mailposture.log").read_text(errors="replace")[-3000:]
    try:
        with urllib.request.urlopen(f"http://{house.config.metrics.collector}/healthz", timeout=60) as answer:
            healthy = answer.read() == b"ok\n"
        return healthy and "tlsrpt_sessions{" in house.page("exporter")
    except OSError:
        return False
