"""What the probes of all MX servers of a domain add up to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING

from mailposture.checks.mx import MxProbe, probe_mx
from mailposture.checks.resolver import Status
from mailposture.checks.result import CheckResult, Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mailposture.checks.vantage import Vantage

MOST_HOSTS = 20  # MX hosts of a domain that are looked at, the best first: a stranger's zone may name thousands
_AT_ONCE = 20  # connections
_MOST_ADDRESSES = 8  # looked at per MX host: a stranger's zone may list hundreds

_ADVICE = {
    "timeout": "see why the server does not answer",
    "unreachable": "see whether the server and the way to it are up",
    "refused": "nothing listens on port 25: start the mail server or take the MX record out",
    "greeting-refused": "the server turns us away before anything was said: see its blocklists and limits",
    "smtp-error": "see the server's log",
    "starttls-not-offered": "switch STARTTLS on (Postfix: smtpd_tls_security_level = may, and a certificate)",
    "starttls-refused": "the server offers STARTTLS but cannot start it: see its log, often the key cannot be read",
    "tls-failed": "see whether the server has its certificate, and allows TLS 1.2 or newer (RFC 9325)",
    "certificate-expired": "renew the certificate, and see why that did not happen by itself",
    "certificate-not-yet-valid": "see the server's clock, or when the certificate begins",
    "certificate-self-signed": "install a certificate that public authorities vouch for (DANE alone may use another)",
    "certificate-untrusted": "install the whole chain: often the intermediate certificate is missing",
    "certificate-host-mismatch": "the certificate must name the MX host itself, not only the domain",
    "certificate-invalid": "replace the certificate",
}


async def probe_servers(
    hosts: Sequence[str], *, vantage: Vantage, look: Callable[[str, str], Awaitable[MxProbe]] | None = None
) -> tuple[MxProbe, ...]:
    """Probe every address of every MX host, at the same time but bounded; one slow server delays no other.

    `look`: how to look at a host at an address, if not by probe_mx().
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def bounded(host: str, address: str) -> MxProbe:
        async with slots:
            return await (look(host, address) if look else probe_mx(host, address, vantage=vantage))

    answers = await asyncio.gather(*(vantage.resolver.addresses(host) for host in hosts))
    pairs = [
        (host, address)
        for host, answer in zip(hosts, answers, strict=True)
        if answer.status is Status.FOUND
        for address in _looked_at(answer.records)
    ]
    return tuple(await asyncio.gather(*(bounded(host, address) for host, address in pairs)))


def _looked_at(addresses: Sequence[str]) -> list[str]:
    """Some of both kinds, and always the same ones, in whatever order DNS gives them."""
    by_family = ([one for one in sorted(addresses) if (":" in one) is ipv6] for ipv6 in (True, False))
    return [one for pair in zip_longest(*by_family) for one in pair if one is not None][:_MOST_ADDRESSES]


def outbound_25_closed(probes: Sequence[MxProbe]) -> bool:
    """Whether it is likelier that we cannot leave by port 25 than that every single server is down.

    Most clouds drop such connections silently: everything times out or has no route. A refusal comes from the server.
    """
    return bool(probes) and all(not probe.connected and probe.reason in {"timeout", "unreachable"} for probe in probes)


def judge_servers(probes: Sequence[MxProbe], *, expiring_within: timedelta) -> tuple[CheckResult, ...]:
    """One result a server; where port 25 is closed for us, or there is no IPv6, nobody is accused."""
    closed = outbound_25_closed(probes)
    no_ipv6 = outbound_25_closed([probe for probe in probes if _is_ipv6(probe)])
    expires_before = datetime.now(UTC) + expiring_within
    return tuple(
        _judge(probe, closed, hidden=no_ipv6 and _is_ipv6(probe), expires_before=expires_before) for probe in probes
    )


def _is_ipv6(probe: MxProbe) -> bool:
    return ":" in probe.address


def _judge(probe: MxProbe, closed: bool, *, hidden: bool, expires_before: datetime) -> CheckResult:
    subject = Subject("starttls", f"{probe.host} [{probe.address}]")
    if hidden and not closed:
        return subject.unknown(
            "no-ipv6",
            f"{probe.detail}; so it is with every MX by IPv6: there seems to be no IPv6 here, as in many networks",
            "run the check where IPv6 works; if it is the same there, see what the AAAA record names",
        )
    if closed:
        return subject.unknown(
            "port-25-closed",
            f"{probe.detail}; so it is with every MX: outbound port 25 seems closed here, as in most clouds",
            "run the check where outbound port 25 is open, or ask the provider to open it",
        )
    if probe.reason:
        shown = f"; it is for {', '.join(probe.names[:5])}" if probe.names and not probe.name_valid else ""
        return subject.wrong(probe.reason, probe.detail + shown, _ADVICE[probe.reason])
    if probe.not_after is not None and probe.not_after < expires_before:
        detail = f"the certificate expires on {probe.not_after:%Y-%m-%d %H:%M} UTC"
        return subject.wrong("certificate-expires-soon", detail, _ADVICE["certificate-expired"])
    until = f", certificate until {probe.not_after:%Y-%m-%d}" if probe.not_after else ""
    return subject.good(f"STARTTLS with {probe.tls_version}{until}")
