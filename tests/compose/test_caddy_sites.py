"""Caddy with the stack's Caddyfile and the site of reports beside it, as docker-compose.yml mounts them."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import urllib.request
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from ports import free_port
from programs import needs, program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, needs("caddy")]

REPORTS = "reports.example.com"


@dataclass(frozen=True, kw_only=True)
class Caddy:
    """A running Caddy."""

    port: int
    health: str  # URL
    authority: Path  # the private one's root certificate
    log: Path


@pytest.fixture
def caddy(root: Path, tmp_path: Path) -> Iterator[Caddy]:
    shutil.copy(root / "provisioning/caddy/Caddyfile", tmp_path)
    (tmp_path / "sites").mkdir()
    shutil.copy(root / "docker/caddy/reports.caddyfile.example", tmp_path / "sites" / "reports.caddyfile")
    port, health = free_port(), free_port()
    environment = {
        **os.environ,
        "XDG_DATA_HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "CADDY_ISSUER": "internal",
        "CADDY_HTTPS_PORT": str(port),
        "CADDY_HTTP_PORT": str(free_port()),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
        "CADDY_HEALTH_PORT": str(health),
    }
    log = tmp_path / "log"
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", tmp_path / "Caddyfile"]
    with log.open("wb") as words, subprocess.Popen(command, env=environment, stdout=words, stderr=words) as process:
        try:
            certificate = tmp_path / "caddy/certificates/local" / REPORTS / f"{REPORTS}.crt"
            eventually("the certificate of the private authority", certificate.exists)
            authority = tmp_path / "caddy/pki/authorities/local/root.crt"
            yield Caddy(port=port, health=f"http://127.0.0.1:{health}/", authority=authority, log=log)
        finally:
            process.terminate()


def handshake(caddy: Caddy, context: ssl.SSLContext) -> ssl.SSLSocket | None:
    """A connection to the site, or None where that fails."""
    plain = socket.create_connection(("127.0.0.1", caddy.port), timeout=60)
    try:
        return context.wrap_socket(plain, server_hostname=REPORTS)
    except ssl.SSLError:
        plain.close()
        return None


def test_a_site_beside_the_policies_gets_its_certificate_from_the_same_issuer_and_offers_no_http_3(
    caddy: Caddy,
) -> None:
    context = ssl.create_default_context(cafile=str(caddy.authority))
    context.check_hostname = False  # the name goes into the request; the address is loopback
    connection = HTTPSConnection("127.0.0.1", caddy.port, context=context, timeout=60)
    # Caddy writes the certificate a moment before it uses it.
    connection.sock = eventually("a handshake", lambda: handshake(caddy, context))
    connection.request("GET", "/", headers={"Host": REPORTS})
    answer = connection.getresponse()
    assert answer.status == 502, "Caddy's own: there is no collector here"
    assert answer.headers["Alt-Svc"] is None
    connection.close()


def test_health_checks_are_answered_and_not_logged(caddy: Caddy) -> None:
    before = caddy.log.read_text()
    for _ in range(3):
        with urllib.request.urlopen(caddy.health, timeout=60) as answer:
            assert answer.status == 200
    assert "request" not in caddy.log.read_text().removeprefix(before)
