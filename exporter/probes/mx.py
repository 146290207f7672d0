"""The servers that receive a domain's mail, as senders meet them: port 25, STARTTLS, certificate, DANE.

No mail is sent. Addresses never become labels: metrics say of an MX host what holds for all of its addresses, and the
history has a row for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, named
from mailposture.checks.dns import check_mx
from mailposture.checks.reason import Reason
from mailposture.checks.servers import MOST_HOSTS, judge_server, look_at_servers
from mailposture.checks.tlsa import Tlsa, mismatch_words
from mailposture.expectation import expectation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from exporter.probes.outcome import ProbeContext
    from mailposture.checks.mx import MxProbe
    from mailposture.checks.port25 import Port25
    from mailposture.checks.resolver import Answer
    from mailposture.checks.servers import Server
    from mailposture.config.domains import Domain

_SERVER = ("policy_domain", "mx")

SUCCESS = Gauge(
    name="mx_server_success",
    help="1 if a sender that enforces MTA-STS (RFC 8461, section 4.2) would deliver to every address of the MX, else "
    "0; no series if we can reach none",
    labels=_SERVER,
)
FAILURE = Gauge(
    name="mx_server_failure",
    help="Addresses of the MX that a sender would refuse, by reason; no series while there is none",
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


@dataclass(frozen=True, kw_only=True)
class _Server:
    """What one address showed, judged."""

    probe: MxProbe
    tlsa: Tlsa
    reason: Reason | None
    detail: str

    @property
    def hidden(self) -> bool:
        """Whether we cannot get there, which says nothing about the server."""
        return self.reason is Reason.PORT_25_BLOCKED

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
        if self.probe.chain or (self.probe.reason is not None and self.probe.reason.refuses_certificate):
            return self.probe.chain_valid and self.probe.name_valid
        return None

    @property
    def tlsa_match(self) -> bool | None:
        return {Tlsa.MATCH: True, Tlsa.MATCH_UNSIGNED: True, Tlsa.MISMATCH: False}.get(self.tlsa)


async def probe_mx(domain: Domain, context: ProbeContext) -> ProbeOutcome:
    """Look at every address of every MX host."""
    expected = expectation(context.config, domain)
    mx = await check_mx(expected, resolver=context.vantage.resolver)
    if not mx.hosts:
        return ProbeOutcome(success=False, reason=mx.result.reason)
    view = await look_at_servers(mx.hosts[:MOST_HOSTS], vantage=context.vantage, look=context.servers.probe)
    context.port_25.note(view.probes)
    servers = [_judge(server, view.tlsa_records[server.probe.host], context.port_25) for server in view.servers]
    lost = [
        Finding(receiving_mx=one.subject, success=False, reason=one.reason, detail=one.detail)
        for one in view.without_address
    ]
    seen = {host: _most_telling(of_host) for host, of_host in _by_host(servers)}
    reasons = [server.reason for of_host in seen.values() for server in of_host] + [finding.reason for finding in lost]
    faults = [reason for reason in reasons if reason is not None]
    return ProbeOutcome(
        success=not faults,
        reason=min(faults, key=lambda reason: reason is Reason.PORT_25_BLOCKED, default=None),
        samples=tuple(_samples(domain.name, seen, lost)),
        findings=(*map(_finding, servers), *lost),
    )


def _judge(server: Server, records: Answer, port_25: Port25) -> _Server:
    result = judge_server(server.probe, port_25=port_25)
    reason, detail = result.reason, result.detail
    if reason is None and server.tlsa is Tlsa.MISMATCH:
        reason, detail = Reason.TLSA_MISMATCH, mismatch_words(records, server.probe.chains)
    return _Server(probe=server.probe, tlsa=server.tlsa, reason=reason, detail=detail)


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


def _most_telling(servers: list[_Server]) -> list[_Server]:
    """The addresses of a host that say how it is: what is hidden from us says nothing beside what is not."""
    return [server for server in servers if not server.hidden] or servers


def _samples(domain: str, seen: Mapping[str, Sequence[_Server]], lost: Sequence[Finding]) -> Iterator[Measured]:
    for host, servers in seen.items():
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
