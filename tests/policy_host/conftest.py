"""A policy host on free loopback ports, in this process."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml
from pki import CertificateAuthority, Issued, make_ca

from policy_host.service import PolicyHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from typing import Any

ENFORCED = {
    "name": "enforced.example",
    "mx": ["mx1.enforced.example", "*.backup.example"],
    "mta_sts": {"mode": "enforce"},
}
TESTED = {"name": "tested.example", "mta_sts": {"mode": "testing", "mx": ["mx.tested.example"], "max_age": 86400}}
PLAIN = {"name": "plain.example"}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, kw_only=True)
class Running:
    """A running policy host and where it listens."""

    host: PolicyHost
    config_path: Path
    port: int
    metrics_port: int

    def rewrite(self, **sections: Any) -> None:
        """Change keys of the configuration file."""
        values = yaml.safe_load(self.config_path.read_text())
        self.config_path.write_text(yaml.safe_dump({**values, **sections}))


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """A private authority."""
    return make_ca(tmp_path)


def write_config(folder: Path, *, tls: tuple[Issued, ...] = ()) -> tuple[Path, int, int]:
    """A configuration with three domains, and the ports it names."""
    port, metrics_port = free_port(), free_port()
    section = {
        "listen": f"127.0.0.1:{port}",
        "metrics": f"127.0.0.1:{metrics_port}",
        "tls": [{"certificate": str(one.certificate), "key": str(one.key)} for one in tls],
    }
    path = folder / "mailposture.yaml"
    path.write_text(yaml.safe_dump({"domains": [ENFORCED, TESTED, PLAIN], "policy_host": section}))
    return path, port, metrics_port


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Start policy hosts with the given certificates; they are stopped after the test."""
    running: list[PolicyHost] = []

    async def starting(*tls: Issued) -> Running:
        path, port, metrics_port = write_config(tmp_path, tls=tls)
        host = PolicyHost(config_path=path)
        await host.start()
        running.append(host)
        return Running(host=host, config_path=path, port=port, metrics_port=metrics_port)

    yield starting
    for host in running:
        await host.stop()
