"""What every probe takes and gives: one function type, and results whose reasons are a closed set."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from exporter.exposition import Gauge
from exporter.probes.policies import KeptPolicies

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from exporter.probes.port25 import Port25
    from exporter.probes.servers import SharedServers
    from mailposture.checks.vantage import Vantage
    from mailposture.config.model import Config, Domain


class Reason(StrEnum):
    """Why a probe is not content: what mailposture/checks calls it, and what only probing again and again can tell."""

    PORT_25_BLOCKED = "outbound-port-25-blocked"  # no server of any domain can be reached: it is us, not them
    MX_WITHOUT_ADDRESS = "mx-without-address"
    TOO_SLOW = "probe-timeout"  # the whole probe, not one server
    BROKEN = "probe-error"  # a fault in the probe; the exporter's log has it
    OTHER = "other"

    DNS_ERROR = "dns-error"
    NO_RECORD = "no-record"
    RECORD_INVALID = "record-invalid"
    SEVERAL_RECORDS = "several-records"
    MX_UNUSABLE = "mx-unusable"
    REPORTS_GO_ELSEWHERE = "reports-go-elsewhere"
    ID_DIFFERS = "id-differs"
    PARKED_BUT_SENDS = "parked-but-sends"
    PARKED_BUT_NOT_REJECTED = "parked-but-not-rejected"
    EVERYBODY_MAY_SEND = "everybody-may-send"

    POLICY_HOST_WITHOUT_ADDRESS = "policy-host-without-address"
    POLICY_HOST_UNREACHABLE = "policy-host-unreachable"
    POLICY_TIMEOUT = "policy-timeout"
    POLICY_TLS_ERROR = "policy-tls-error"
    POLICY_HTTP_ERROR = "policy-http-error"
    POLICY_REDIRECTED = "policy-redirected"
    POLICY_STATUS = "policy-status"
    POLICY_CONTENT_TYPE = "policy-content-type"
    POLICY_TOO_LARGE = "policy-too-large"
    POLICY_INVALID = "policy-invalid"
    POLICY_DIFFERS = "policy-differs"
    MX_NOT_COVERED = "mx-not-covered"

    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    GREETING_REFUSED = "greeting-refused"
    SMTP_ERROR = "smtp-error"
    STARTTLS_NOT_OFFERED = "starttls-not-offered"
    STARTTLS_REFUSED = "starttls-refused"
    TLS_FAILED = "tls-failed"
    TLSA_MISMATCH = "tlsa-mismatch"

    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_SELF_SIGNED = "certificate-self-signed"
    CERTIFICATE_UNTRUSTED = "certificate-untrusted"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_INVALID = "certificate-invalid"


def reason_of(term: str) -> Reason | None:
    """The reason for a term of mailposture/checks; None for none, `other` for one that is not known here."""
    if not term:
        return None
    return next((reason for reason in Reason if reason == term), Reason.OTHER)


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
    receiving_mx: str = ""
    receiving_ip: str = "::"
    success: bool
    reason: Reason | None = None
    detail: str = ""
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


ProbeFunction: TypeAlias = "Callable[[Domain, ProbeContext], Awaitable[ProbeOutcome]]"
"""Looks at one domain. Whatever the world does is an outcome; an exception is a fault of the probe."""


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
            help="1 for the gravest reason why the probe does not succeed; no series while it does",
            labels=("policy_domain", "reason"),
        ),
        duration=Gauge(name=f"{prefix}_probe_duration_seconds", help="How long the last probe of the domain took"),
        gauges=gauges,
    )
