"""Real Prometheus and Alertmanager for the tests, each on a port that nobody else has, ended with the test."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventually import eventually
from ports import free_port
from programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


def get(url: str) -> Any:
    """The JSON at a URL; None if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def post(url: str, content: Any) -> None:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(url, data=json.dumps(content).encode(), headers=headers), timeout=60
    ):
        pass


@contextmanager
def alertmanager(config: Path, folder: Path, *, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield its URL once it is ready. Its working directory is its storage, as in its image."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    (folder / "alertmanager").mkdir(exist_ok=True)
    with _running(command, folder / "alertmanager.log", cwd=folder / "alertmanager", environment=environment):
        eventually("Alertmanager", lambda: get(f"{url}/api/v2/status"))
        yield url


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[str]:
    """Yield its URL once it is ready."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with _running(command, folder / "prometheus.log"):
        eventually("Prometheus", lambda: get(f"{url}/api/v1/query?query=vector(1)"))
        yield url


@contextmanager
def _running(
    command: Sequence[str], log: Path, *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, stdout=words, stderr=words, cwd=cwd, env={**os.environ, **(environment or {})}
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
