"""From where we look, and with which trust."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailposture.checks.resolver import Resolver

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mailposture.config import Probes


@dataclass(frozen=True, kw_only=True)
class Vantage:
    """What the checks need from their surroundings; tests give loopback ports and an authority of their own."""

    resolver: Resolver
    hostname: str  # what we say in EHLO
    timeout: float  # seconds for one server
    certificate_authority: Path | None = None  # instead of the system's roots
    smtp_port: int = 25
    https_port: int = 443

    def trusting_context(self) -> ssl.SSLContext:
        """A context that verifies chain and name, TLS 1.2 or newer (RFC 8461, sections 3.3 and 4.2)."""
        return ssl.create_default_context(cafile=self.certificate_authority and str(self.certificate_authority))


def vantage_of(probes: Probes, *, nameservers: Sequence[str] = ()) -> Vantage:
    """The vantage that the configuration describes; raises ValueError if a nameserver is not IP or IP@port."""
    return Vantage(
        resolver=Resolver(nameservers=nameservers or probes.nameservers),
        hostname=probes.hostname or socket.gethostname(),
        timeout=probes.timeout.total_seconds(),
        certificate_authority=probes.certificate_authority,
    )
