"""From reports in the database to a page and back: real exporter, Prometheus and Alertmanager, our rules and routes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml
from engine import Storage, engine_config
from eventually import eventually
from paging import (
    TOKEN,
    Webhook,
    evaluation_faults,
    listening_webhook,
    provisioned_alertmanager,
    provisioned_prometheus,
)
from ports import free_port
from programs import needs
from sample_reports import Reports

from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate
from reports.schema_groups import SCHEMA_GROUPS
from reports.tls.meanings import write_failure_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs("prometheus", "prometheus-alertmanager")]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening_webhook() as hook:
        yield hook


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    never_stale = {"stale_after": "9999d"}  # Prometheus goes by its own clock, reports by that of the tests
    settings = {
        "domains": [{"name": "shop.example", "team": "web"}, {"name": "quiet.example", "thresholds": never_stale}],
        "metrics": {"exporter": f"127.0.0.1:{free_port()}", "refresh": "1s"},
        "probes": {"enabled": False},
    }
    file = {**settings, "data": "data", "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"}}
    (tmp_path / "mailposture.yaml").write_text(yaml.safe_dump(file))
    config = engine_config(tmp_path / "data", **settings)
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config, SCHEMA_GROUPS)
        write_failure_words(storage.client(), config)
        storage.empty()
        yield storage


@pytest.fixture
def exporter(storage: Storage, tmp_path: Path) -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "exporter"]
    process = subprocess.Popen([*command, "--config", str(tmp_path / "mailposture.yaml")])
    yield str(storage.config.metrics.exporter)
    process.terminate()
    assert process.wait(60) == 0


@pytest.fixture
def watcher(exporter: str, webhook: Webhook, tmp_path: Path) -> Iterator[str]:
    """The URL of Prometheus, which pages the webhook by way of Alertmanager."""
    with (
        provisioned_alertmanager(tmp_path, webhook) as pager,
        provisioned_prometheus(tmp_path, pager=pager, targets={"mailposture-exporter": exporter}) as url,
    ):
        yield url


def test_an_expired_certificate_pages_with_the_runbook_and_clean_reports_end_the_page(
    storage: Storage, webhook: Webhook, watcher: str
) -> None:
    reports = Reports(storage=storage)
    sender = {"organization": "Sender", "sts_mode": "enforce"}
    reports.add("quiet.example", day=2, successful=1000, **sender)
    reports.add("shop.example", day=3, successful=1000, **sender)
    reports.add("shop.example", day=2, successful=900, failures={"certificate-expired": 100}, **sender)

    page = eventually("the page", lambda: webhook.page("TlsCertificateRejected", "firing"))
    refused = eventually("the page about refused mail", lambda: webhook.page("MtaStsMailRefused", "firing"))

    assert page["commonLabels"] == {
        "alertname": "TlsCertificateRejected",
        "policy_domain": "shop.example",
        "severity": "critical",
        "team": "web",
    }
    assert page["receiver"] == "page-web"
    assert "sessions to shop.example failed" in page["commonAnnotations"]["description"]
    assert page["commonAnnotations"]["runbook_url"].endswith("/alerting-rules/runbooks/TlsCertificateRejected.md")
    assert page["commonAnnotations"]["dashboard_url"].startswith("http://localhost:3000/d/mailposture-failures?")
    assert "failed under a policy in mode enforce" in refused["commonAnnotations"]["description"]
    assert webhook.tokens == {f"Bearer {TOKEN}"}

    assert webhook.page("TlsCertificateRejected", "resolved") is None
    reports.add("shop.example", day=1, successful=1000, **sender)
    eventually("the end of the page", lambda: webhook.page("TlsCertificateRejected", "resolved"))
    eventually("the end of the other page", lambda: webhook.page("MtaStsMailRefused", "resolved"))

    about_quiet = [
        note for note in webhook.notifications if note["commonLabels"].get("policy_domain") == "quiet.example"
    ]
    assert about_quiet == []
    assert evaluation_faults(watcher) == []
