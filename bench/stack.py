"""A whole collector on the embedded engine, in a folder and on ports of its own, as `mailposture run` starts it."""

from __future__ import annotations

import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from bench.ports import free_port
from cli.collector import children
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.config.file import load
from mailposture.processes import Child, end
from reports.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

READY_WITHIN = 60.0


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What runs."""

    config: Config
    engine: EmbeddedEngine
    processes: list[Child]
    smtp_port: int
    log: Path

    def page(self, path: str) -> str:
        """A page of the receiver: /metrics, /healthz, /readyz."""
        with urllib.request.urlopen(f"http://{self.config.metrics.collector}{path}", timeout=10) as response:
            text: str = response.read().decode()
            return text

    def client(self, user: str) -> Client:
        """A client for SQL; close its connections before the engine is stopped."""
        return connect(self.config, user=user)


@contextmanager
def running(folder: Path, *, domain: str, **settings: object) -> Iterator[Stack]:
    """Start engine, ingest and receiver for one domain; `settings` are further sections of the configuration."""
    smtp, https, metrics, exporter, http, native = (free_port() for _ in range(6))
    path = folder / "mailposture.yaml"
    listen = {
        "domains": [{"name": domain}],
        "smtp": {"listen": f"127.0.0.1:{smtp}", "limits": {"connections_per_client": 500}},
        "https": {"listen": f"127.0.0.1:{https}"},
        "metrics": {"collector": f"127.0.0.1:{metrics}", "exporter": f"127.0.0.1:{exporter}"},
        "clickhouse": {"http": f"127.0.0.1:{http}", "native": f"127.0.0.1:{native}"},
    }
    path.write_text(yaml.safe_dump({**listen, **settings}), encoding="utf-8")
    config = load(path)
    with ExitStack() as stack:
        engine = EmbeddedEngine(config)
        engine.start()
        stack.callback(engine.stop)
        owner = connect(config, user=config.clickhouse.collector_user)
        prepare(owner, config)
        owner.close_connections()
        processes = children(path, config)
        log = stack.enter_context((folder / "log").open("ab"))
        for child in processes:
            child.log = log
            child.start()
        stack.callback(end, processes)
        found = Stack(config=config, engine=engine, processes=processes, smtp_port=smtp, log=folder / "log")
        _wait_until_healthy(found)
        yield found


def _wait_until_healthy(stack: Stack) -> None:
    until = time.monotonic() + READY_WITHIN
    while True:
        try:
            if stack.page("/healthz") == "ok\n":
                return
        except OSError:
            pass
        if time.monotonic() > until:
            raise TimeoutError(f"the collector is not ready: {stack.log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
