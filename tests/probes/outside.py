"""Our domain as the outside sees it, on loopback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exporter.probes.outcome import ProbeContext
from exporter.probes.servers import SharedServers
from mailposture.checks.port25 import Port25
from mailposture.checks.resolver import Resolver
from mailposture.checks.vantage import Vantage
from mailposture.config.model import Config
from mailposture.expectation import expectation

if TYPE_CHECKING:
    from loopback_dns import Zone
    from pki import CertificateAuthority

    from exporter.probes.outcome import ProbeOutcome
    from mailposture.config.domains import Domain

DOMAIN = "example.test"
MX = "mx1.example.test"

ZONE = """
example.test.            300 IN MX 10 mx1.example.test.
example.test.            300 IN TXT "v=spf1 mx -all"
mx1.example.test.        300 IN A 127.0.0.1
mta-sts.example.test.    300 IN A 127.0.0.1
_mta-sts.example.test.   300 IN TXT "%s"
_smtp._tls.example.test. 300 IN TXT "v=TLSRPTv1; rua=mailto:tlsrpt@example.test"
_dmarc.example.test.     300 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@example.test"
"""


def configuration(**changes: Any) -> Config:
    """Our domain, which hosts a policy in mode enforce for its only MX."""
    domain = {"name": DOMAIN, "mta_sts": {"mode": "enforce", "mx": [MX], "max_age": 1_209_600}}
    return Config.model_validate({"domains": [domain], **changes})


def policy_of(config: Config) -> bytes:
    """The policy that the configuration asks to be served."""
    body = expectation(config, config.domains[0]).policy_body
    assert body is not None
    return body


@dataclass
class World:
    """What there is outside, and from where we look."""

    zone: Zone
    dns_port: int
    authority: CertificateAuthority
    config: Config
    port_25: Port25 = field(default_factory=Port25)

    @property
    def domain(self) -> Domain:
        return self.config.domains[0]

    def vantage(self, **changes: Any) -> Vantage:
        """Loopback instead of the world."""
        resolver = Resolver(nameservers=[f"127.0.0.1@{self.dns_port}"], timeout=2)
        vantage: dict[str, Any] = {
            "resolver": resolver,
            "hostname": "probe.test",
            "timeout": 5,
            "certificate_authority": self.authority.certificate,
        }
        return Vantage(**{**vantage, **changes})

    def context(self, **changes: Any) -> ProbeContext:
        """What a probe gets; nothing was looked at before."""
        vantage = self.vantage(**changes)
        servers = SharedServers(vantage=vantage, kept=60)
        return ProbeContext(config=self.config, vantage=vantage, port_25=self.port_25, servers=servers)


def measured(outcome: ProbeOutcome) -> dict[str, float]:
    """Samples by name and label values without the domain: `mx_server_success mx1.example.test`."""
    return {" ".join((gauge.name, *labels[1:])): number for gauge, labels, number in outcome.samples}
