"""From reports in the database to a page and back: real exporter, Prometheus and Alertmanager, our rules and routes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from alert_servers import alertmanager, free_port, get, prometheus, wait_for
from engine import Storage, engine_config
from reports import Reports

from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TOKEN = "a-secret-for-the-webhook"


class Webhook:
    """Takes notifications of Alertmanager."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        self.tokens: set[str | None] = set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.tokens.add(self.headers["Authorization"])
                hook.notifications.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def page(self, alert: str, status: str) -> dict[str, Any] | None:
        """The first notification about an alert with that status."""
        return next(
            (
                notification
                for notification in self.notifications
                if notification["commonLabels"]["alertname"] == alert and notification["status"] == status
            ),
            None,
        )


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever)
    thread.start()
    yield hook
    hook.server.shutdown()
    thread.join()
    hook.server.server_close()


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    settings = {
        "domains": [{"name": "shop.example", "team": "web"}, {"name": "quiet.example"}],
        "metrics": {"exporter": f"127.0.0.1:{free_port()}", "refresh": "1s"},
        "probes": {"enabled": False},
    }
    file = {**settings, "data": "data", "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"}}
    (tmp_path / "mailposture.yaml").write_text(yaml.safe_dump(file))
    config = engine_config(tmp_path / "data", **settings)
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config)
        storage.empty()
        yield storage


@pytest.fixture
def exporter(storage: Storage, tmp_path: Path) -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "exporter"]
    process = subprocess.Popen([*command, "--config", str(tmp_path / "mailposture.yaml")])
    yield str(storage.config.metrics.exporter)
    process.terminate()
    assert process.wait(10) == 0


@pytest.fixture
def pager(webhook: Webhook, tmp_path: Path) -> Iterator[str]:
    """The URL of Alertmanager with our routes, whose times are short and whose receivers keep only their webhooks."""
    source = ROOT / "provisioning" / "alertmanager"
    folder = tmp_path / "alertmanager-conf"
    shutil.copytree(source / "templates", folder / "templates")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "webhook_token").write_text(TOKEN)
    config = yaml.safe_load((source / "alertmanager.yml").read_text())
    config["route"].update(group_wait="0s", group_interval="1s")
    config["route"]["routes"] = [
        route for route in config["route"]["routes"] if route["receiver"] != "dead-mans-switch"
    ]
    hook = next(receiver["webhook_configs"][0] for receiver in config["receivers"] if receiver["name"] == "page")
    hook["url"] = webhook.url
    config["receivers"] = [{"name": receiver["name"], "webhook_configs": [hook]} for receiver in config["receivers"]]
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    with alertmanager(folder / "alertmanager.yml", tmp_path) as url:
        yield url


@pytest.fixture
def watcher(exporter: str, pager: str, tmp_path: Path) -> Iterator[str]:
    """The URL of Prometheus with our rules, whose expressions are as they are and whose times are short."""
    folder = tmp_path / "prometheus-conf"
    (folder / "rules").mkdir(parents=True)
    for rules in (ROOT / "alerting-rules").glob("*.yml"):
        short = re.sub(
            r"^( +(?:for|keep_firing_for|interval)): \d+[mhd]$", r"\1: 1s", rules.read_text(), flags=re.MULTILINE
        )
        (folder / "rules" / rules.name).write_text(short)
    config = yaml.safe_load((ROOT / "provisioning" / "prometheus" / "prometheus.yml").read_text())
    config["global"].update(scrape_interval="1s", evaluation_interval="1s", scrape_timeout="1s")
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [pager.removeprefix("http://")]
    config["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [exporter]}]}
        for job in config["scrape_configs"]
        if job["job_name"] == "mailposture-exporter"
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus(folder / "prometheus.yml", tmp_path) as url:
        yield url


def test_an_expired_certificate_pages_with_the_runbook_and_clean_reports_end_the_page(
    storage: Storage, webhook: Webhook, watcher: str
) -> None:
    reports = Reports(storage=storage)
    sender = {"organization": "Sender", "sts_mode": "enforce"}
    reports.add("quiet.example", day=2, successful=1000, **sender)
    reports.add("shop.example", day=3, successful=1000, **sender)
    reports.add("shop.example", day=2, successful=900, failures={"certificate-expired": 100}, **sender)

    page = wait_for("the page", lambda: webhook.page("TlsCertificateRejected", "firing"))
    refused = wait_for("the page about refused mail", lambda: webhook.page("MtaStsMailRefused", "firing"))

    assert page["commonLabels"] == {
        "alertname": "TlsCertificateRejected",
        "policy_domain": "shop.example",
        "severity": "critical",
        "team": "web",
    }
    assert page["receiver"] == "page-web"
    assert "100 sessions to shop.example" in page["commonAnnotations"]["description"]
    assert page["commonAnnotations"]["runbook_url"].endswith("/alerting-rules/runbooks/TlsCertificateRejected.md")
    assert page["commonAnnotations"]["dashboard_url"].startswith("http://localhost:3000/d/mailposture-failures?")
    assert "100 sessions to shop.example" in refused["commonAnnotations"]["description"]
    assert webhook.tokens == {f"Bearer {TOKEN}"}

    assert webhook.page("TlsCertificateRejected", "resolved") is None
    reports.add("shop.example", day=1, successful=1000, **sender)
    wait_for("the end of the page", lambda: webhook.page("TlsCertificateRejected", "resolved"))
    wait_for("the end of the other page", lambda: webhook.page("MtaStsMailRefused", "resolved"))

    about_quiet = [
        note for note in webhook.notifications if note["commonLabels"].get("policy_domain") == "quiet.example"
    ]
    assert about_quiet == []
    assert evaluation_faults(watcher) == []


def evaluation_faults(watcher: str) -> list[str]:
    """What Prometheus says of rules that it could not evaluate."""
    groups = get(f"{watcher}/api/v1/rules")["data"]["groups"]
    return [rule["lastError"] for group in groups for rule in group["rules"] if "lastError" in rule]
