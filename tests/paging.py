"""Our rules and routes in real Prometheus and Alertmanager, their times short, and the webhook that is paged."""

from __future__ import annotations

import json
import re
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from alert_servers import alertmanager, get, prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parents[1]
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


@contextmanager
def listening_webhook() -> Iterator[Webhook]:
    """A webhook that takes notifications until it is left."""
    hook = Webhook()
    thread = threading.Thread(target=hook.server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        hook.server.shutdown()
        thread.join()
        hook.server.server_close()


@contextmanager
def provisioned_alertmanager(folder: Path, webhook: Webhook) -> Iterator[str]:
    """The URL of Alertmanager with our routes, whose times are short and whose receivers keep only their webhooks."""
    source = ROOT / "provisioning" / "alertmanager"
    own = folder / "alertmanager-conf"
    shutil.copytree(source / "templates", own / "templates")
    (own / "webhook_token").write_text(TOKEN)
    config = yaml.safe_load((source / "alertmanager.yml").read_text())
    config["route"].update(group_wait="0s", group_interval="1s")
    config["route"]["routes"] = [
        route for route in config["route"]["routes"] if route["receiver"] != "dead-mans-switch"
    ]
    hook = next(receiver["webhook_configs"][0] for receiver in config["receivers"] if receiver["name"] == "page")
    hook["url"] = webhook.url
    hook["http_config"]["authorization"]["credentials_file"] = str(own / "webhook_token")
    config["receivers"] = [{"name": receiver["name"], "webhook_configs": [hook]} for receiver in config["receivers"]]
    (own / "alertmanager.yml").write_text(yaml.safe_dump(config))
    with alertmanager(own / "alertmanager.yml", folder) as url:
        yield url


@contextmanager
def provisioned_prometheus(folder: Path, *, pager: str, targets: Mapping[str, str]) -> Iterator[str]:
    """The URL of Prometheus with our rules, whose expressions are as they are and whose times are short.

    `targets`: where the jobs of our configuration that are kept scrape.
    """
    own = folder / "prometheus-conf"
    (own / "rules").mkdir(parents=True)
    for rules in (ROOT / "alerting-rules").glob("*.yml"):
        short = re.sub(
            r"^( +(?:for|keep_firing_for|interval)): \d+[mhd]$", r"\1: 1s", rules.read_text(), flags=re.MULTILINE
        )
        (own / "rules" / rules.name).write_text(short)
    config = yaml.safe_load((ROOT / "provisioning" / "prometheus" / "prometheus.yml").read_text())
    config["global"].update(scrape_interval="1s", evaluation_interval="1s", scrape_timeout="1s")
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [pager.removeprefix("http://")]
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    assert targets.keys() <= jobs
    config["scrape_configs"] = [
        {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
    ]
    (own / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus(own / "prometheus.yml", folder) as url:
        yield url


def evaluation_faults(prometheus_url: str) -> list[str]:
    """What Prometheus says of rules that it could not evaluate."""
    groups = get(f"{prometheus_url}/api/v1/rules")["data"]["groups"]
    return [rule["lastError"] for group in groups for rule in group["rules"] if "lastError" in rule]
