"""The servers of all MX hosts of a domain, looked at and judged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING

from mailposture.checks.certificates import expiry_of, kind_of_key
from mailposture.checks.mx import MxProbe, probe_mx
from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.checks.tlsa import Tlsa, check_tlsa, compare, tlsa_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mailposture.checks.port25 import Port25
    from mailposture.checks.vantage import Vantage

    LookAt = Callable[[str, str], Awaitable[MxProbe]]

MOST_HOSTS = 20  # MX hosts of a domain that are looked at, the best first: anybody's zone may name thousands
_AT_ONCE = 20  # connections
_MOST_ADDRESSES = 8  # looked at per MX host: anybody's zone may list hundreds

_ADVICE = {
    Reason.TIMEOUT: "see why the server does not answer",
    Reason.UNREACHABLE: "see whether the server and the way to it are up",
    Reason.REFUSED: "nothing listens on port 25: start the mail server or take the MX record out",
    Reason.GREETING_REFUSED: "the server turns us away before anything was said: see its blocklists and limits",
    Reason.SMTP_ERROR: "see the server's log",
    Reason.STARTTLS_NOT_OFFERED: "switch STARTTLS on (Postfix: smtpd_tls_security_level = may, and a certificate)",
    Reason.STARTTLS_REFUSED: "it offers STARTTLS but cannot start it: often the key cannot be read; see its log",
    Reason.TLS_FAILED: "see whether the server has its certificate, and allows TLS 1.2 or newer (RFC 9325)",
    Reason.CERTIFICATE_EXPIRED: "renew the certificate, and see why that did not happen automatically",
    Reason.CERTIFICATE_NOT_YET_VALID: "see the server's clock, or when the certificate begins",
    Reason.CERTIFICATE_SELF_SIGNED: "install a certificate of a public authority (DANE alone may use another)",
    Reason.CERTIFICATE_UNTRUSTED: "install the whole chain: often the intermediate certificate is missing",
    Reason.CERTIFICATE_HOST_MISMATCH: "the certificate must name the MX host itself, not only the domain",
    Reason.CERTIFICATE_INVALID: "replace the certificate",
}


@dataclass(frozen=True, kw_only=True)
class Server:
    """What one address of an MX host showed, set against the TLSA records of the host."""

    probe: MxProbe
    tlsa: Tlsa


@dataclass(frozen=True, kw_only=True)
class ServersView:
    """The servers of a domain as senders meet them."""

    servers: tuple[Server, ...] = ()
    tlsa_records: dict[str, Answer]  # by MX host
    without_address: tuple[CheckResult, ...] = ()  # a result for each MX host that there was nothing to look at of

    @property
    def probes(self) -> tuple[MxProbe, ...]:
        """Of all servers."""
        return tuple(server.probe for server in self.servers)

    def starttls_results(self, *, port_25: Port25, expiring_within: timedelta) -> tuple[CheckResult, ...]:
        """One result per server, once `port_25` knows of all servers of this round."""
        return tuple(judge_server(probe, port_25=port_25, expiring_within=expiring_within) for probe in self.probes)

    def tlsa_results(self, *, mx_signed: bool) -> tuple[CheckResult, ...]:
        """One result per MX host; `mx_signed`: whether DNSSEC authenticates the MX records."""
        return tuple(
            check_tlsa(
                host,
                answer,
                [chain for one in self.probes if one.host == host for chain in one.chains],
                mx_signed=mx_signed,
            )
            for host, answer in self.tlsa_records.items()
        )


async def look_at_servers(hosts: Sequence[str], *, vantage: Vantage, look: LookAt | None = None) -> ServersView:
    """Look at every address of the MX hosts, at the same time but bounded; one slow server delays no other.

    `look`: how to look at a host at an address, if not by probe_mx().
    """
    resolver = vantage.resolver
    addresses, tlsa = await asyncio.gather(
        asyncio.gather(*(resolver.addresses(host) for host in hosts)),
        asyncio.gather(*(resolver.lookup(tlsa_name(host), "TLSA") for host in hosts)),
    )
    records = dict(zip(hosts, tlsa, strict=True))
    slots = asyncio.Semaphore(_AT_ONCE)

    async def bounded(host: str, address: str) -> Server:
        async with slots:
            probe = await (look(host, address) if look else probe_mx(host, address, vantage=vantage))
        compared = [compare(records[host], chain) for chain in probe.chains or ((),)]
        return Server(probe=probe, tlsa=next((one for one in compared if one is Tlsa.MISMATCH), compared[0]))

    found = list(zip(hosts, addresses, strict=True))
    return ServersView(
        servers=tuple(
            await asyncio.gather(
                *(
                    bounded(host, address)
                    for host, answer in found
                    if answer.status is Status.FOUND
                    for address in _looked_at(answer.records)
                )
            )
        ),
        tlsa_records=records,
        without_address=tuple(
            _without_address(host, answer) for host, answer in found if answer.status is not Status.FOUND
        ),
    )


def _looked_at(addresses: Sequence[str]) -> list[str]:
    """Some of both kinds, and always the same ones, in whatever order DNS gives them."""
    by_family = ([one for one in sorted(addresses) if (":" in one) is ipv6] for ipv6 in (True, False))
    return [one for pair in zip_longest(*by_family) for one in pair if one is not None][:_MOST_ADDRESSES]


def _without_address(host: str, answer: Answer) -> CheckResult:
    subject = Subject("starttls", host)
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail, malformed=answer.malformed)
    return subject.missing(answer.detail, f"publish A or AAAA records at {host}", reason=Reason.MX_WITHOUT_ADDRESS)


def judge_server(probe: MxProbe, *, port_25: Port25, expiring_within: timedelta | None = None) -> CheckResult:
    """What a server shows, judged; a silence that is likelier ours than its own accuses nobody.

    `expiring_within`: a certificate that expires by then is a fault too.
    """
    subject = Subject("starttls", f"{probe.host} [{probe.address}]")
    if port_25.hides(probe):
        family = "IPv6" if ":" in probe.address else "IPv4"
        return subject.unknown(
            Reason.PORT_25_BLOCKED,
            f"{probe.detail}; so it is with all servers by {family}, which says nothing about this one",
            "run the check where outbound port 25 is open, by IPv6 too: most clouds close it, many networks lack IPv6",
        )
    if probe.reason is not None:
        shown = f"; it is for {', '.join(probe.names[:5])}" if probe.names and not probe.name_valid else ""
        return subject.wrong(probe.reason, probe.detail + shown, _ADVICE[probe.reason])
    if expiring_within is not None and probe.not_after and probe.not_after < datetime.now(UTC) + expiring_within:
        detail = f"{_first_to_expire(probe)} expires on {probe.not_after:%Y-%m-%d %H:%M} UTC"
        return subject.wrong(Reason.CERTIFICATE_EXPIRES_SOON, detail, _ADVICE[Reason.CERTIFICATE_EXPIRED])
    until = f", certificate until {probe.not_after:%Y-%m-%d}" if probe.not_after else ""
    return subject.good(f"STARTTLS with {probe.tls_version}{until}")


def _first_to_expire(probe: MxProbe) -> str:
    """Which of one or two certificates expires first."""
    if probe.other_chain and expiry_of(probe.other_chain[0]) == probe.not_after != expiry_of(probe.chain[0]):
        return f"the certificate shown to clients that take {kind_of_key(probe.other_chain[0])} keys only"
    return "the certificate"
