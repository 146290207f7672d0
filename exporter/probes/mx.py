"""The servers that receive a domain's mail, as senders meet them: port 25, STARTTLS, certificate, DANE.

No mail is sent. Addresses never become labels: metrics say of an MX host what holds for all of its addresses, and the
history has a row for each.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, Reason, named, reason_of
from mailposture.checks.dns import check_mx
from mailposture.checks.resolver import Answer, Status
from mailposture.checks.servers import MOST_HOSTS, probe_servers
from mailposture.checks.tlsa import is_usable, matches_tlsa, tlsa_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.probes.outcome import ProbeContext
    from exporter.probes.port25 import Port25
    from mailposture.checks.mx import MxProbe
    from mailposture.config.model import Domain

_SERVER = ("policy_domain", "mx")

SUCCESS = Gauge(
    name="mx_server_success",
    help="1 if a sender that enforces MTA-STS (RFC 8461, section 4.2) would deliver to every address of the MX, else "
    "0; no series if we can reach none",
    labels=_SERVER,
)
FAILURE = Gauge(
    name="mx_server_failure",
    help="Addresses of the MX with which a sender would not be content, by reason; no series while there is none",
    labels=(*_SERVER, "reason"),
)
DURATION = Gauge(
    name="mx_server_duration_seconds", help="How long the slowest address of the MX took, up to QUIT", labels=_SERVER
)
REACHABLE = Gauge(
    name="mx_server_reachable",
    help="1 if port 25 of every address of the MX can be connected to, else 0; no series if outbound port 25 is closed "
    "for us",
    labels=_SERVER,
)
STARTTLS = Gauge(
    name="mx_server_starttls_offered",
    help="1 if every address of the MX that spoke to us offers STARTTLS, else 0; no series if none spoke",
    labels=_SERVER,
)
CERTIFICATE_VALID = Gauge(
    name="mx_server_certificate_valid",
    help="1 if every certificate of the MX is trusted, in date, and names the MX, else 0; no series if none was shown",
    labels=_SERVER,
)
NOT_AFTER = Gauge(
    name="mx_server_certificate_not_after_timestamp_seconds",
    help="When the first of the certificates of the MX expires; no series if none was shown",
    labels=_SERVER,
)
TLS_VERSION = Gauge(
    name="mx_server_tls_info",
    help="Always 1; the TLS versions that were negotiated with the addresses of the MX",
    labels=(*_SERVER, "version"),
)
TLSA_MATCH = Gauge(
    name="mx_server_tlsa_match",
    help="1 if the TLSA records of the MX name the certificates that it shows, else 0; no series without such records",
    labels=_SERVER,
)


class Tlsa(StrEnum):
    """How TLSA records and certificate agree (RFC 7672)."""

    ABSENT = "absent"  # no DANE, which is allowed
    MATCH = "match"
    MATCH_UNSIGNED = "match-unsigned"  # fits, but our resolver does not say that DNSSEC vouches for it
    MISMATCH = "mismatch"
    UNUSABLE = "unusable"  # only records that DANE for SMTP does not know: senders encrypt, and compare nothing
    DNS_ERROR = "dns-error"
    NO_CERTIFICATE = "no-certificate"  # nothing was shown to compare with


@dataclass(frozen=True, kw_only=True)
class _Server:
    """What one address showed, judged."""

    probe: MxProbe
    reason: Reason | None
    detail: str
    tlsa: Tlsa
    hidden: bool  # we cannot get there, which says nothing about the server

    @property
    def reachable(self) -> bool | None:
        return None if self.hidden else self.probe.connected

    @property
    def starttls_offered(self) -> bool | None:
        if self.probe.starttls_offered:
            return True
        return False if self.reason is Reason.STARTTLS_NOT_OFFERED else None

    @property
    def certificate_valid(self) -> bool | None:
        if self.probe.chain or self.probe.reason.startswith("certificate-"):
            return self.probe.chain_valid and self.probe.name_valid
        return None

    @property
    def tlsa_match(self) -> bool | None:
        return {Tlsa.MATCH: True, Tlsa.MATCH_UNSIGNED: True, Tlsa.MISMATCH: False}.get(self.tlsa)


async def probe_mx(domain: Domain, context: ProbeContext) -> ProbeOutcome:
    """Look at every address of every MX host; a domain that takes no mail has none."""
    resolver = context.vantage.resolver
    mx = await check_mx(domain.name, resolver=resolver)
    if mx.parked:
        return ProbeOutcome(success=True)
    hosts = mx.hosts[:MOST_HOSTS]
    if not hosts:
        return ProbeOutcome(success=False, reason=reason_of(mx.result.reason))
    probes, answers = await asyncio.gather(
        probe_servers(hosts, vantage=context.vantage, look=context.servers.probe),
        asyncio.gather(*(resolver.lookup(tlsa_name(host), "TLSA") for host in hosts)),
    )
    context.port_25.note(probes)
    records = dict(zip(hosts, answers, strict=True))
    servers = [_judge(probe, records[probe.host], context.port_25) for probe in probes]
    lost = await _without_address(sorted(set(hosts) - {probe.host for probe in probes}), context)
    told = {host: _telling(of_host) for host, of_host in _by_host(servers)}
    reasons = [server.reason for of_host in told.values() for server in of_host] + [finding.reason for finding in lost]
    faults = [reason for reason in reasons if reason is not None]
    return ProbeOutcome(
        success=not faults,
        reason=min(faults, key=lambda reason: reason is Reason.PORT_25_BLOCKED, default=None),
        samples=tuple(_samples(domain.name, told, lost)),
        findings=(*map(_finding, servers), *lost),
    )


def _judge(probe: MxProbe, records: Answer, port_25: Port25) -> _Server:
    hidden = port_25.hides(probe)
    tlsa = _tlsa(records, probe.chain)
    reason, detail = reason_of(probe.reason), probe.detail
    if hidden:
        family = "IPv6" if ":" in probe.address else "IPv4"
        reason = Reason.PORT_25_BLOCKED
        detail = f"{detail}; so it is with all servers by {family}, which says nothing about this one"
    elif reason is None and tlsa is Tlsa.MISMATCH:
        reason = Reason.TLSA_MISMATCH
        detail = f"none of {len(records.records)} TLSA records fits the certificate shown"
    elif reason is None:
        until = f", certificate until {probe.not_after:%Y-%m-%d}" if probe.not_after else ""
        detail = f"STARTTLS with {probe.tls_version}{until}"
    return _Server(probe=probe, reason=reason, detail=detail, tlsa=tlsa, hidden=hidden)


def _tlsa(answer: Answer, chain: Sequence[bytes]) -> Tlsa:
    if answer.status is not Status.FOUND:
        return Tlsa.ABSENT if answer.status is Status.ABSENT else Tlsa.DNS_ERROR
    if not chain:
        return Tlsa.NO_CERTIFICATE
    if not any(is_usable(record) for record in answer.records):
        return Tlsa.UNUSABLE
    if not any(matches_tlsa(record, chain) for record in answer.records):
        return Tlsa.MISMATCH
    return Tlsa.MATCH if answer.authenticated else Tlsa.MATCH_UNSIGNED


async def _without_address(hosts: Sequence[str], context: ProbeContext) -> list[Finding]:
    """Hosts that had no address to look at: because there is none, or because DNS did not say."""
    answers = await asyncio.gather(*(context.vantage.resolver.addresses(host) for host in hosts))
    return [
        Finding(
            receiving_mx=host,
            success=False,
            reason=Reason.MX_WITHOUT_ADDRESS if answer.status is Status.ABSENT else Reason.DNS_ERROR,
            detail=answer.detail,
        )
        for host, answer in zip(hosts, answers, strict=True)
    ]


def _finding(server: _Server) -> Finding:
    probe = server.probe
    return Finding(
        receiving_mx=probe.host,
        receiving_ip=probe.address,
        success=server.reason is None,
        reason=server.reason,
        detail=server.detail,
        duration_seconds=probe.seconds,
        reachable=server.reachable,
        starttls_offered=server.starttls_offered,
        tls_version=probe.tls_version,
        certificate_valid=server.certificate_valid,
        certificate_not_after=probe.not_after,
        certificate_names=probe.names,
        tlsa=server.tlsa,
    )


def _by_host(servers: Sequence[_Server]) -> Iterator[tuple[str, list[_Server]]]:
    ordered = sorted(servers, key=lambda server: server.probe.host)
    for host, of_host in groupby(ordered, key=lambda server: server.probe.host):
        yield host, list(of_host)


def _telling(servers: list[_Server]) -> list[_Server]:
    """The addresses of a host that say how it is: what is hidden from us says nothing beside what is not."""
    return [server for server in servers if not server.hidden] or servers


def _samples(domain: str, told: Mapping[str, Sequence[_Server]], lost: Sequence[Finding]) -> Iterator[Measured]:
    for host, servers in told.items():
        yield from _host_samples((domain, host), servers)
    for finding in lost:
        yield Measured(SUCCESS, (domain, finding.receiving_mx), 0)
        yield Measured(FAILURE, (domain, finding.receiving_mx, str(finding.reason)), 1)


def _host_samples(labels: tuple[str, str], servers: Sequence[_Server]) -> Iterator[Measured]:
    reasons = [server.reason for server in servers if server.reason is not None]
    if not all(server.hidden for server in servers):
        yield Measured(SUCCESS, labels, float(not reasons))
    for reason in sorted(set(reasons)):
        yield Measured(FAILURE, (*labels, reason), reasons.count(reason))
    yield Measured(DURATION, labels, max(server.probe.seconds for server in servers))
    for gauge, seen in (
        (REACHABLE, [server.reachable for server in servers]),
        (STARTTLS, [server.starttls_offered for server in servers]),
        (CERTIFICATE_VALID, [server.certificate_valid for server in servers]),
        (TLSA_MATCH, [server.tlsa_match for server in servers]),
    ):
        yield from _all_of(gauge, labels, seen)
    expiries = [server.probe.not_after for server in servers if server.probe.not_after is not None]
    if expiries:
        yield Measured(NOT_AFTER, labels, min(expiries).timestamp())
    for version in sorted({server.probe.tls_version for server in servers} - {""}):
        yield Measured(TLS_VERSION, (*labels, version), 1)


def _all_of(gauge: Gauge, labels: tuple[str, str], seen: Iterable[bool | None]) -> Iterator[Measured]:
    """1 if it holds wherever it was seen; nothing if it was seen nowhere."""
    known = [one for one in seen if one is not None]
    if known:
        yield Measured(gauge, labels, float(all(known)))


PROBE = named(
    "mx",
    "mx",
    probe_mx,
    success="1 if a sender that enforces MTA-STS would deliver to every server of the domain",
    gauges=(SUCCESS, FAILURE, DURATION, REACHABLE, STARTTLS, CERTIFICATE_VALID, NOT_AFTER, TLS_VERSION, TLSA_MATCH),
)
