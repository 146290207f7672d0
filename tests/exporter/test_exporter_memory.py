"""An exporter of very many domains stays below the memory that its container gets, however often it is scraped."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import yaml
from engine import Storage, engine_config
from eventually import eventually
from memory import allowed, peak
from test_exporter_process import EXPORTER, get, wait_for_address

from mailposture.clickhouse.embedded import EmbeddedEngine
from reports.prepare import prepare

if TYPE_CHECKING:
    from pathlib import Path

DOMAINS = 10_000

FILL = """
    INSERT INTO mailposture_tables.tls_policies
        (policy_domain, day, report_key, policy_index, organization, policy_type, sts_mode, counts,
        trust, version, successful_sessions, failed_sessions)
    SELECT format('domain{}.example', toString(number % {domains:UInt32})), yesterday(), number, 0,
        format('Sender {}', toString(intDiv(number, {domains:UInt32}))), 'sts', 'enforce', true, 'dkim', 3, 100, 10
    FROM numbers({domains:UInt32} * 5)
"""


@pytest.mark.slow
def test_very_many_domains_and_scrapes(tmp_path: Path) -> None:
    domains = [{"name": f"domain{number}.example", "mx": [f"mx.domain{number}.example"]} for number in range(DOMAINS)]
    settings = {
        "domains": domains,
        "data": str(tmp_path / "data"),
        "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
        "metrics": {"exporter": "127.0.0.1:0", "refresh": "1s"},
        "probes": {"nameservers": ["127.0.0.1@9"], "interval": "1m", "timeout": "1s", "concurrency": 200},
    }
    file = tmp_path / "mailposture.yaml"
    file.write_text(yaml.safe_dump(settings))
    config = engine_config(tmp_path / "data", domains=domains)
    log = tmp_path / "log"
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        prepare(storage.client(), config)
        storage.client().command(FILL, parameters={"domains": DOMAINS})
        with log.open("wb") as words, subprocess.Popen([*EXPORTER, "--config", str(file)], stderr=words) as exporter:
            try:
                address = wait_for_address(log)
                eventually("the first answers", lambda: get(f"{address}/readyz")[0] == 200, within=300)
                with ThreadPoolExecutor(8) as scrapers:
                    sizes = set(scrapers.map(lambda _: len(get(f"{address}/metrics")[1]), range(40)))
                assert min(sizes) > DOMAINS * 400  # there are some series of each domain
                assert peak(exporter.pid) < allowed("exporter")
            finally:
                exporter.kill()
