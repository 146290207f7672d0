"""From where we look, and with which trust."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mailposture.checks.certificates import KeyKind, restrict
from mailposture.checks.resolver import Resolver
from mailposture.net.verifying import verifying_context
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from pathlib import Path

    from mailposture.config.model import Probes

_TRUST_KEPT = 3600.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Vantage:
    """What the checks need from their surroundings; tests give loopback ports and an authority of their own."""

    resolver: Resolver
    hostname: str  # what we say in EHLO
    timeout: float  # seconds for one server
    certificate_authority: Path | None = None  # instead of the system's roots
    smtp_port: int = 25
    https_port: int = 443

    def trusting_context(self, *, only: KeyKind | None = None) -> ssl.SSLContext:
        """A context that verifies chain and name, TLS 1.2 or newer (RFC 8461, sections 3.3 and 4.2).

        `only`: that takes no certificate but one with such a key.

        OSError if the authority's file cannot be read. Reading all roots takes 30 ms and a megabyte, so it is done
        only once an hour: thousands of servers would leave no time for anything else.
        """
        return _trusting_context(self.certificate_authority, int(time.monotonic() // _TRUST_KEPT), only)


@lru_cache(maxsize=1 + len(KeyKind))
def _trusting_context(authority: Path | None, _hour: int, only: KeyKind | None) -> ssl.SSLContext:
    context = verifying_context(authority)
    if only is not None:
        restrict(context, only)
    # The subject alternative name must name the host (RFC 8461, section 4.1); Python would take the common name too.
    context.hostname_checks_common_name = False
    return context


def vantage_of(probes: Probes, *, nameservers: Sequence[str] = ()) -> Vantage:
    """The vantage that the configuration describes; raises ValueError if a nameserver is not IP or IP@port.

    ProblemError if there is nobody to ask, or nobody to trust: then every domain would seem to be at fault.
    """
    vantage = Vantage(
        resolver=Resolver(nameservers=nameservers or probes.nameservers),
        hostname=probes.hostname or socket.gethostname(),
        timeout=probes.timeout.total_seconds(),
        certificate_authority=probes.certificate_authority,
    )
    try:
        vantage.trusting_context()
    except OSError as error:
        raise ProblemError(
            f"{probes.certificate_authority}: cannot be read ({error.strerror}); "
            "let probes.certificate_authority name a file of PEM certificates"
        ) from error
    return vantage
