"""The outside world on loopback: DNS, a policy host, MX servers, and an authority that the checks trust."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import loopback_dns
import pytest
from loopback_dns import Zone
from pki import CertificateAuthority, make_ca

from mailposture.checks.resolver import Resolver
from mailposture.checks.vantage import Vantage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ZONE = """
example.test.            300 IN MX 10 mx1.example.test.
example.test.            300 IN TXT "v=spf1 mx -all"
mx1.example.test.        300 IN A 127.0.0.1
mta-sts.example.test.    300 IN CNAME policies.host.test.
policies.host.test.      300 IN A 127.0.0.1
_mta-sts.example.test.   300 IN TXT "v=STSv1; id=1;"
_smtp._tls.example.test. 300 IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@example.test"
_dmarc.example.test.     300 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.test"
"""


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    """A private authority."""
    return make_ca(tmp_path)


@pytest.fixture
def zone() -> Zone:
    """What DNS says; a test may change it."""
    return Zone(ZONE)


@pytest.fixture
def dns_port(zone: Zone) -> Iterator[int]:
    """Where DNS listens."""
    with loopback_dns.serving(zone) as port:
        yield port


@pytest.fixture
def resolver(dns_port: int) -> Resolver:
    """A resolver that asks only our server."""
    return Resolver(nameservers=[f"127.0.0.1@{dns_port}"], timeout=2)


@pytest.fixture
def looking(resolver: Resolver, authority: CertificateAuthority) -> Callable[..., Vantage]:
    """Make a vantage with the ports of a test."""
    vantage = Vantage(resolver=resolver, hostname="probe.test", timeout=10, certificate_authority=authority.certificate)

    def with_(**changes: object) -> Vantage:
        return replace(vantage, **changes)  # type: ignore[arg-type]

    return with_
