"""The exporter as it is run: a process of its own beside the engine, which may go away."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from engine import Storage, engine_config
from eventually import eventually

from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

EXPORTER = [sys.executable, "-c", "from cli.main import main; main()", "exporter"]


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(url: str, pattern: str, *, status: int = 200) -> str:
    """The text at a URL once it has the status and matches the pattern."""

    def said() -> str | None:
        answer = get(url)
        return answer[1] if answer[0] == status and re.search(pattern, answer[1], re.MULTILINE) else None

    return eventually(f"{url} says {status} {pattern}", said)


def test_clickhouse_may_go_and_come_back_while_the_exporter_tells_the_truth(tmp_path: Path) -> None:
    settings = {
        "domains": [{"name": "shop.example"}],
        "data": str(tmp_path / "data"),
        "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
        "metrics": {"exporter": "127.0.0.1:0", "refresh": "1s"},
        "probes": {"enabled": False},
    }
    file = tmp_path / "mailposture.yaml"
    file.write_text(yaml.safe_dump(settings))
    config = engine_config(tmp_path / "data", domains=settings["domains"])
    log = tmp_path / "log"
    with log.open("wb") as words:
        exporter = subprocess.Popen(
            [*EXPORTER, "--config", str(file)],
            stderr=words,
        )
    try:
        address = wait_for_address(log)
        assert get(f"{address}/healthz") == (200, "ok\n")
        assert get(f"{address}/readyz")[0] == 503
        wait_for(f"{address}/metrics", "^mailposture_reported_up 0.0$")

        with EmbeddedEngine(config) as endpoint:
            migrate(Storage(config=config, endpoint=endpoint).client(), config, SCHEMA_GROUPS)
            wait_for(f"{address}/metrics", "^mailposture_reported_up 1.0$")
            assert 'tlsrpt_sessions{policy_domain="shop.example"' in get(f"{address}/metrics")[1]
            assert get(f"{address}/readyz") == (200, "ready\n")

        wait_for(f"{address}/metrics", "^mailposture_reported_up 0.0$")
        assert 'tlsrpt_sessions{policy_domain="shop.example"' in get(f"{address}/metrics")[1]
        # The first fault may be a connection that breaks off; this is what stays.
        wait_for(f"{address}/readyz", r"^the reported metrics are \d+ s old: no embedded engine runs", status=503)
        assert get(f"{address}/healthz") == (200, "ok\n")

        with EmbeddedEngine(config):  # on other ports than before
            wait_for(f"{address}/metrics", "^mailposture_reported_up 1.0$")

        exporter.send_signal(signal.SIGTERM)
        assert exporter.wait(60) == 0
    finally:
        exporter.kill()
        exporter.wait()
    assert "Traceback" not in log.read_text()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {
            "domains": [{"name": "shop.example"}],
            "metrics": {"exporter": listen},
            "probes": {"enabled": False},
        }
        file = tmp_path / "mailposture.yaml"
        file.write_text(yaml.safe_dump(settings))
        done = subprocess.run(
            [*EXPORTER, "--config", str(file)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert f"the exporter cannot listen on {listen}" in done.stderr
    assert "metrics.exporter" in done.stderr
    assert "Traceback" not in done.stderr


def wait_for_address(log: Path) -> str:
    return eventually("its address", lambda: re.search(r'"url": "(http://[^/]+)/metrics"', log.read_text()))[1]
