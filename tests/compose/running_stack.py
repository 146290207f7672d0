"""The stack of docker-compose.yml in a folder of its own, driven by the commands of docs/compose.md.

Images that no registry gives are stand-ins (.ci/docker-engine). What differs from a user's stack is in `_override`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Found = TypeVar("Found")

GRAFANA = "grafana"
_IGNORED = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", "__pycache__", "secrets", "data", "demo-data", "node_modules", ".env", "*.local*"
)
# Loopback ports that the system chooses, and certificates of Caddy's own authority.
_ENVIRONMENT = """\
MAILPOSTURE_CONFIGURATION=./docker/configuration.local
SMTP_PUBLISH=127.0.0.1:0
LMTP_PUBLISH=127.0.0.1:0
HTTP_PUBLISH=127.0.0.1:0
HTTPS_PUBLISH=127.0.0.1:0
GRAFANA_PUBLISH=127.0.0.1:0
PROMETHEUS_PUBLISH=127.0.0.1:0
ALERTMANAGER_PUBLISH=127.0.0.1:0
CADDY_ISSUER=internal
"""


def images(root: Path) -> dict[str, str]:
    """The images that the stack needs and that are not built, by service; the Dockerfile's base as `build`."""
    services = yaml.safe_load((root / "docker-compose.yml").read_text())["services"]
    pulled = {name: service["image"] for name, service in services.items() if "build" not in service}
    (base,) = re.findall(r"^ARG BASE=(\S+)$", (root / "Dockerfile").read_text(), re.MULTILINE)
    return {**pulled, "build": base}


@cache
def docker_fault(root: Path) -> str:
    """Why the stack cannot be started here; empty if it can. Grafana's image may be missing."""
    if shutil.which("docker") is None:
        return "docker is not installed (Debian: docker.io)"
    for command, fault in (
        (["docker", "info"], "no Docker engine answers (.ci/docker-engine starts one)"),
        (["docker", "compose", "version"], "docker has no compose plugin (Debian 13: docker-compose)"),
    ):
        if not _succeeds(command):
            return fault
    missing = [image for name, image in images(root).items() if name != GRAFANA and not has_image(image)]
    if missing:
        return f"images are missing (`docker compose pull`, or .ci/docker-engine): {' '.join(missing)}"
    return ""


def has_image(image: str) -> bool:
    """Whether the engine has an image already; nothing is pulled."""
    return _succeeds(["docker", "image", "inspect", image])


def _succeeds(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _override(root: Path, project: str) -> dict[str, Any]:
    """What CI's machine needs differently, and nothing else."""
    ours = {"image": f"{project}:local", "build": {"network": "host"}}  # CI's engine has no bridge to build on
    services: dict[str, Any] = {"collector": ours, "exporter": ours, "policy-host": ours}
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 < open_files < 262144:  # more than a machine allows itself needs CAP_SYS_RESOURCE
        services["clickhouse"] = {"ulimits": {"nofile": {"soft": open_files, "hard": open_files}}}
    if not has_image(images(root)[GRAFANA]):
        services[GRAFANA] = {"profiles": ["never"]}
    # The authority of the mail server that alerts are sent by (tests/receivers.py).
    services["alertmanager"] = {"environment": {"SSL_CERT_FILE": "/etc/alertmanager/secrets/authority.pem"}}
    return {"services": services}


@dataclass(frozen=True, kw_only=True)
class RunningStack:
    """A copy of the repository, and the containers that were started there."""

    folder: Path
    project: str

    @classmethod
    def copied(cls, root: Path, folder: Path) -> RunningStack:
        """A clone's files, with the first steps of docs/compose.md done; nothing runs yet."""
        shutil.copytree(root, folder, dirs_exist_ok=True, symlinks=True, ignore=_IGNORED)
        stack = cls(folder=folder, project=f"mailposture-test-{os.getpid()}")
        stack.run("docker/secrets.sh")
        (folder / ".env").write_text(_ENVIRONMENT + f"COMPOSE_PROJECT_NAME={stack.project}\n")
        shutil.copytree(folder / "docker/configuration", folder / "docker/configuration.local")
        (folder / "docker-compose.override.yml").write_text(yaml.safe_dump(_override(root, stack.project)))
        return stack

    def run(self, *command: str, given: bytes | str = b"", within: float = 120) -> str:
        """What a command prints in the stack's folder; fails with all of it, and with what containers have said."""
        entered = given.encode() if isinstance(given, str) else given
        done = subprocess.run(command, cwd=self.folder, input=entered, capture_output=True, timeout=within, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise AssertionError(f"{' '.join(command)} exits {done.returncode}:\n{said[-6000:]}\n{self.account()}")
        return done.stdout.decode()

    def compose(self, *arguments: str, given: bytes | str = b"", within: float = 120) -> str:
        """What `docker compose …` prints."""
        return self.run("docker", "compose", *arguments, given=given, within=within)

    def account(self) -> str:
        """State and last log lines of all containers, to read."""
        pieces = []
        for arguments in (["ps", "--all"], ["logs", "--no-color", "--tail", "15"]):
            command = ["docker", "compose", *arguments]
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
            pieces.append(done.stdout + done.stderr)
        return "\n".join(pieces)

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[tuple[str, str]]]:
        """What happens to containers meanwhile, in order: service and `start`, or `health_status: …`."""
        seen: list[tuple[str, str]] = []
        form = '{{index .Actor.Attributes "com.docker.compose.service"}} {{.Action}}'
        label = f"label=com.docker.compose.project={self.project}"
        command = ["docker", "events", "--filter", label, "--filter", "event=start", "--filter", "event=health_status"]
        with subprocess.Popen([*command, "--format", form], stdout=subprocess.PIPE, text=True) as events:
            yield seen
            events.terminate()
            assert events.stdout is not None
            for line in events.stdout.read().splitlines():
                service, _, action = line.partition(" ")
                seen.append((service, action))

    def build(self) -> None:
        """Build our image once; `up --build` then builds it for three services out of the cache."""
        self.compose("build", "collector", within=900)

    def mailposture(self, *arguments: str, given: bytes | str = b"", within: float = 60) -> str:
        """What a command of ours prints, run as the README says."""
        return self.compose("exec", "-T", "collector", "mailposture", *arguments, given=given, within=within)

    @property
    def configuration(self) -> Path:
        """The file that the services read."""
        return self.folder / "docker/configuration.local/mailposture.yaml"

    def set(self, name: str, value: str) -> None:
        """A line of .env."""
        path = self.folder / ".env"
        path.write_text(path.read_text() + f"{name}={value}\n")

    @property
    def services(self) -> list[str]:
        """The services that are started here."""
        return self.compose("config", "--services").split()

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        (found,) = json.loads(self.run("docker", "inspect", self.container(service)))
        return dict(found)

    def container(self, service: str) -> str:
        """The id of its container."""
        return self.compose("ps", "--all", "--quiet", service).strip()

    def health(self, service: str) -> str:
        """healthy, unhealthy or starting; the state where it is not running."""
        state = self.inspect(service)["State"]
        return str(state["Health"]["Status"] if state["Running"] else state["Status"])

    def port(self, service: str, port: int) -> tuple[str, int]:
        """Where a port of a service is published."""
        host, _, published = self.compose("port", service, str(port)).strip().rpartition(":")
        return host, int(published)

    def fetch(self, service: str, port: int, path: str) -> Any:
        """The JSON at a published port; None if there is none."""
        host, published = self.port(service, port)
        try:
            with urllib.request.urlopen(f"http://{host}:{published}{path}", timeout=60) as page:
                return json.load(page)
        except (OSError, ValueError):
            return None

    def page(self, service: str, port: int, path: str) -> tuple[int, str]:
        """Status and text of a page that only other containers reach; 0 if nobody answers."""
        code = (
            "import sys, urllib.request, urllib.error\n"
            "try: page = urllib.request.urlopen(sys.argv[1], timeout=60)\n"
            "except urllib.error.HTTPError as error: page = error\n"
            "except OSError as error: sys.exit(f'0 {error}')\n"
            "print(page.status, page.read().decode())"
        )
        command = ["docker", "compose", "exec", "-T", "policy-host", "python", "-c", code]
        done = subprocess.run(
            [*command, f"http://{service}:{port}{path}"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        status, _, text = (done.stdout or done.stderr).partition(" ")
        return int(status) if status.isdigit() else 0, text

    def stored(self) -> int:
        """How many reports an analyst finds."""
        return int(self.mailposture("sql", "SELECT count() FROM tls_report_log"))

    def wait_for(self, what: str, look: Callable[[], Found | None], *, within: float = 120) -> Found:
        """What `look` finds, once it finds something."""
        try:
            return eventually(what, look, within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.account()}") from None

    def wait_until_healthy(self, services: Sequence[str] = (), *, within: float = 120) -> None:
        """Until the containers say so themselves."""
        for service in services or self.services:
            self.wait_for(f"{service} healthy", lambda one=service: self.health(one) == "healthy", within=within)

    def gateway(self) -> str:
        """This machine's address as containers see it."""
        (network,) = json.loads(self.run("docker", "network", "inspect", f"{self.project}_inner"))
        return str(network["IPAM"]["Config"][0]["Gateway"])

    def remove(self) -> None:
        """Containers, networks, volumes and our image."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        self.run("docker", "image", "rm", "--force", f"{self.project}:local")
