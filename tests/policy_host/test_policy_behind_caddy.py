"""The policy host behind a real Caddy with our Caddyfile and a private authority; curl is the sender."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from ports import free_port, listens
from programs import needs, program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from hosting import Running

pytestmark = [
    pytest.mark.slow,
    needs("caddy", "curl"),
]

CADDYFILE = Path(__file__).parents[2] / "provisioning" / "caddy" / "Caddyfile"


@dataclass(frozen=True, kw_only=True)
class Caddy:
    """A running Caddy."""

    port: int
    root: Path  # of its private authority

    async def fetch(self, host: str, *options: str) -> tuple[int, str]:
        """curl's exit status and output for a host's policy, trusting only this Caddy's authority."""
        url = f"https://{host}:{self.port}/.well-known/mta-sts.txt"
        child = await asyncio.create_subprocess_exec(
            program("curl"), "--silent", "--show-error", "--max-time", "20", "--cacert", str(self.root),
            "--resolve", f"{host}:{self.port}:127.0.0.1", *options, url,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await child.communicate()
        return child.returncode or 0, output.decode()


@pytest.fixture
async def caddy(start: Callable[..., Awaitable[Running]], tmp_path: Path) -> AsyncIterator[Caddy]:
    """Our Caddyfile in front of a policy host."""
    running = await start()
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "POLICY_HOST": f"127.0.0.1:{running.port}",
        "POLICY_HOST_INTERNAL": f"127.0.0.1:{running.metrics_port}",
        "CADDY_ISSUER": "internal",
        "CADDY_DEFAULT_SNI": "mta-sts.enforced.example",
        "CADDY_HTTPS_PORT": str(port),
        "CADDY_HTTP_PORT": str(free_port()),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
        "CADDY_HEALTH_PORT": str(free_port()),
    }
    root = tmp_path / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    with (tmp_path / "caddy.log").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            program("caddy"),
            "run",
            "--config",
            str(CADDYFILE),
            "--adapter",
            "caddyfile",
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        await asyncio.to_thread(eventually, "Caddy", lambda: root.exists() and listens(port))
        yield Caddy(port=port, root=root)
    finally:
        child.terminate()
        await child.wait()


async def test_policy_is_served_with_a_certificate_ordered_on_demand(caddy: Caddy) -> None:
    status, output = await caddy.fetch("mta-sts.enforced.example", "--include", "--http1.1")
    assert status == 0, output
    head, _, body = output.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "Content-Type: text/plain\r\n" in head
    assert body.startswith("version: STSv1\r\nmode: enforce\r\n")
    assert (await caddy.fetch("mta-sts.tested.example"))[1].splitlines()[1] == "mode: testing"


async def test_no_certificate_is_ordered_for_a_name_that_we_do_not_serve(caddy: Caddy) -> None:
    for host in ("mta-sts.plain.example", "unknown.example"):
        status, output = await caddy.fetch(host)
        assert status == 35, output  # handshake failed
    ordered = {path.name for path in (caddy.root.parents[3] / "certificates").glob("*/*")}
    assert ordered <= {"mta-sts.enforced.example", "mta-sts.tested.example"}


async def test_other_host_on_the_same_connection_gets_404(caddy: Caddy) -> None:
    status, output = await caddy.fetch(
        "mta-sts.enforced.example", "--header", "Host: unknown.example", "--write-out", "%{http_code}"
    )
    assert status == 0, output
    assert output.endswith("404")
    assert "STSv1" not in output
