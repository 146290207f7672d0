"""`mailposture exporter` as it is run, with its probes on: metrics while it runs, rows by the time it has ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
import yaml
from engine import Storage, engine_config
from eventually import eventually
from outside import DOMAIN, MX

from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from outside import World

pytestmark = pytest.mark.slow

NOBODY = "127.0.0.254"  # where nothing listens on ports 25 and 443


def wait_for(found: re.Pattern[str], text: Callable[[], str]) -> re.Match[str]:
    """The first match in a text that is still being written."""
    return eventually(found.pattern, lambda: found.search(text()))


def test_exporter_probes_serves_and_keeps_what_it_saw(world: World, tmp_path: Path) -> None:
    world.zone.text = world.zone.text.replace("127.0.0.1", NOBODY)
    config = engine_config(tmp_path / "data", domains=[{"name": DOMAIN}])
    settings = {
        "domains": [{"name": DOMAIN, "mta_sts": {"mode": "enforce", "mx": [MX], "max_age": 1_209_600}}],
        "data": str(tmp_path / "data"),
        "metrics": {"exporter": "127.0.0.1:0", "refresh": "1s"},
        "probes": {"nameservers": [f"127.0.0.1@{world.dns_port}"], "hostname": "probe.test"},
    }
    file, log = tmp_path / "mailposture.yaml", tmp_path / "log"
    file.write_text(yaml.safe_dump(settings))
    with EmbeddedEngine(config) as endpoint, log.open("wb") as words:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config, SCHEMA_GROUPS)
        exporter = subprocess.Popen(
            [sys.executable, "-c", "from cli.main import main; main()", "exporter", "--config", str(file)],
            stderr=words,
        )
        try:
            address = wait_for(re.compile(r'"url": "(http://[^"]+)"'), log.read_text)[1]

            def page() -> str:
                with urllib.request.urlopen(address, timeout=60) as answer:
                    return str(answer.read().decode())

            for sample in (
                rf'mx_server_failure{{policy_domain="{DOMAIN}",mx="{MX}",reason="refused"}} 1',
                rf'mta_sts_probe_failure{{policy_domain="{DOMAIN}",reason="policy-host-unreachable"}} 1',
                rf'dns_record_success{{policy_domain="{DOMAIN}",record="mx"}} 1.0',
            ):
                wait_for(re.compile(re.escape(sample)), page)
            kept = "SELECT probe, reason FROM mailposture_tables.probe_results WHERE probe != 'dns' ORDER BY probe"
            eventually("rows of both probes", lambda: len(storage.ask(kept)) == 2)
            assert storage.ask(kept) == [("mta-sts", "policy-host-unreachable"), ("mx", "refused")]
            exporter.send_signal(signal.SIGTERM)
            assert exporter.wait(60) == 0
        finally:
            exporter.kill()
            exporter.wait()
    assert "Traceback" not in log.read_text()
