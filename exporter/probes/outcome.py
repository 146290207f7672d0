"""What every probe takes and gives: one function type, and results whose reasons are those of the checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from exporter.exposition import Gauge
from exporter.probes.listed import ListedNetworks
from exporter.probes.policies import KeptPolicies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from exporter.probes.servers import SharedServers
    from mailposture.checks.dkim import KeyInUse
    from mailposture.checks.port25 import Port25
    from mailposture.checks.reason import Reason
    from mailposture.checks.vantage import Vantage
    from mailposture.config.domains import Domain
    from mailposture.config.model import Config


def _none_known(_domain: str) -> tuple[KeyInUse, ...]:
    return ()


class Measured(NamedTuple):
    """One sample."""

    gauge: Gauge
    labels: tuple[str, ...]
    number: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row of the history: one DNS record, one policy, or one server, in the columns of table probe_results.

    None means: not seen, so nothing is claimed.
    """

    record: str = ""
    subject: str = ""
    receiving_mx: str = ""
    receiving_ip: str = "::"
    success: bool
    reason: Reason | None = None
    detail: str = ""
    published: str = ""
    policies: tuple[str, ...] = ()
    duration_seconds: float | None = None  # None: as long as the whole probe
    reachable: bool | None = None
    starttls_offered: bool | None = None
    tls_version: str = ""
    certificate_valid: bool | None = None
    certificate_not_after: datetime | None = None
    certificate_names: tuple[str, ...] = ()
    tlsa: str = ""
    sts_mode: str = ""
    sts_max_age: int = 0
    sts_mx_hosts: tuple[str, ...] = ()
    sts_record_id: str = ""
    policy_agrees: bool | None = None
    record_agrees: bool | None = None
    mx_covered: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOutcome:
    """What came of one probe of one domain; `reason` says why it is no success."""

    success: bool
    reason: Reason | None = None
    samples: tuple[Measured, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeContext:
    """What probes share."""

    config: Config
    vantage: Vantage
    port_25: Port25
    servers: SharedServers
    policies: KeptPolicies = field(default_factory=KeptPolicies)
    listed: ListedNetworks = field(default_factory=ListedNetworks)
    keys_of: Callable[[str], Sequence[KeyInUse]] = _none_known  # the DKIM keys of a domain that reports show in use


ProbeFunction: TypeAlias = "Callable[[Domain, ProbeContext], Awaitable[ProbeOutcome]]"
"""Looks at one domain. Whatever the domain does is an outcome; an exception is a fault of the probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe, and the three gauges that all have alike."""

    name: str
    run: ProbeFunction
    success: Gauge
    failure: Gauge
    duration: Gauge
    gauges: tuple[Gauge, ...]  # its own

    @property
    def all_gauges(self) -> tuple[Gauge, ...]:
        """In the order of the page."""
        return (self.success, self.failure, self.duration, *self.gauges)


def named(name: str, prefix: str, run: ProbeFunction, *, success: str, gauges: tuple[Gauge, ...]) -> Probe:
    """A probe whose metrics begin with `prefix`; `success` says what it is to succeed."""
    return Probe(
        name=name,
        run=run,
        success=Gauge(name=f"{prefix}_probe_success", help=success),
        failure=Gauge(
            name=f"{prefix}_probe_failure",
            help="1 for the most severe reason why the probe fails; no series while it succeeds",
            labels=("policy_domain", "reason"),
        ),
        duration=Gauge(name=f"{prefix}_probe_duration_seconds", help="How long the last probe of the domain took"),
        gauges=gauges,
    )
