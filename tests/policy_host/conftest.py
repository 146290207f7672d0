"""A policy host on free loopback ports, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hosting import Running, write_config
from pki import CertificateAuthority, Issued, make_ca

from policy_host.service import PolicyHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """A private authority."""
    return make_ca(tmp_path)


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
