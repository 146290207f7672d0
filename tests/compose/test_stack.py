"""The stack itself, where a Docker engine can run it: up, healthy, and a report goes all the way."""

from __future__ import annotations

import json
import shutil
import smtplib
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from testcontainers.compose import DockerCompose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def docker_fault() -> str:
    """Why the stack cannot be started here; empty if it can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for command, fault in (
        (["docker", "info"], "no Docker engine answers"),
        (["docker", "compose", "version"], "docker has no compose plugin"),
    ):
        if subprocess.run(command, capture_output=True, timeout=30, check=False).returncode:
            return fault
    return ""


FAULT = docker_fault()
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.skipif(bool(FAULT), reason=FAULT)]

SERVICES = ("clickhouse", "collector", "exporter", "policy-host", "caddy", "alertmanager", "prometheus", "grafana")
# Loopback ports that the system chooses, and certificates of Caddy's own authority.
ENVIRONMENT = """\
SMTP_PUBLISH=127.0.0.1:0
LMTP_PUBLISH=127.0.0.1:0
HTTP_PUBLISH=127.0.0.1:0
HTTPS_PUBLISH=127.0.0.1:0
GRAFANA_PUBLISH=127.0.0.1:0
PROMETHEUS_PUBLISH=127.0.0.1:0
ALERTMANAGER_PUBLISH=127.0.0.1:0
CADDY_ISSUER=internal
COMPOSE_PROJECT_NAME=mailposture-test
"""


@pytest.fixture(scope="module")
def stack(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerCompose]:
    folder = tmp_path_factory.mktemp("stack")
    ignored = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", "secrets", "data", "demo-data", "node_modules", ".env"
    )
    shutil.copytree(root, folder, dirs_exist_ok=True, symlinks=True, ignore=ignored)
    (folder / ".env").write_text(ENVIRONMENT)
    subprocess.run([folder / "docker" / "secrets.sh"], check=True, capture_output=True)
    stack = DockerCompose(folder, build=True, pull=False, wait=True)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop(down=True)


def fetch(stack: DockerCompose, service: str, port: int, path: str) -> Any:
    host, published = stack.get_service_host_and_port(service, port)
    with urllib.request.urlopen(f"http://{host}:{published}{path}", timeout=10) as page:
        return json.load(page)


def test_every_service_is_healthy(stack: DockerCompose) -> None:
    for service in SERVICES:
        assert stack.get_container(service).Health == "healthy", service


def test_a_report_by_mail_from_nobody_waits_in_quarantine(stack: DockerCompose) -> None:
    host, port = stack.get_service_host_and_port("collector", 2525)
    with smtplib.SMTP(host, int(port or 0)) as client:
        client.sendmail("a@sender.example", ["tlsrpt@example.com"], f"From: a@sender.example\r\n\r\n{report()}")
    command = ["mailposture", "quarantine", "list"]
    eventually("a report", lambda: "sender.example" in stack.exec_in_container(command, "collector")[0])


def test_an_imported_report_is_a_metric_of_prometheus(stack: DockerCompose) -> None:
    container = stack.get_container("collector").ID
    subprocess.run(
        ["docker", "exec", "-i", str(container), "mailposture", "import", "-"], input=report().encode(), check=True
    )
    query = "/api/v1/query?query=tlsrpt_sessions%7Bpolicy_domain%3D%22example.com%22%7D"
    eventually("a series", lambda: fetch(stack, "prometheus", 9090, query)["data"]["result"], within=120)


def test_prometheus_scrapes_every_service_and_has_the_rules(stack: DockerCompose) -> None:
    def all_up() -> bool:
        targets = fetch(stack, "prometheus", 9090, "/api/v1/targets")["data"]["activeTargets"]
        return len(targets) >= 5 and all(target["health"] == "up" for target in targets)

    eventually("all targets up", all_up, within=120)
    assert fetch(stack, "prometheus", 9090, "/api/v1/rules")["data"]["groups"]
    alerts = "/api/v2/alerts?filter=alertname%3DWatchdog"
    eventually("an alert", lambda: fetch(stack, "alertmanager", 9093, alerts), within=120)


def test_grafana_has_data_sources_and_dashboards(stack: DockerCompose) -> None:
    container = str(stack.get_container("grafana").ID)
    page = "http://admin:$(cat /run/secrets/grafana_admin)@127.0.0.1:3000/api"
    for path, wanted in (("datasources", "grafana-clickhouse-datasource"), ("search?type=dash-db", "dash-db")):
        command = ["docker", "exec", container, "sh", "-c", f'wget -qO- "{page}/{path}"']
        assert wanted in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def report() -> str:
    day = datetime.now(UTC).date() - timedelta(days=1)
    failure = {"result-type": "certificate-expired", "failed-session-count": 40}
    policy = {
        "policy": {"policy-type": "sts", "policy-domain": "example.com"},
        "summary": {"total-successful-session-count": 60, "total-failure-session-count": 40},
        "failure-details": [failure],
    }
    return json.dumps(
        {
            "organization-name": "Sender",
            "date-range": {"start-datetime": f"{day}T00:00:00Z", "end-datetime": f"{day}T23:59:59Z"},
            "contact-info": "a@sender.example",
            "report-id": f"{day}-example.com",
            "policies": [policy],
        }
    )
