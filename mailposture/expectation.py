"""What the configuration expects of a domain: which records, which policy, reports or none, mail or none.

Everything that compares a domain with its configuration asks here: checks, probes, `records`, the policy host, and what
is written into the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mailposture.config.model import PolicyMode
from mailposture.records import dmarc, mta_sts, report_uris
from mailposture.records.dns_records import (
    DnsRecord,
    authorization_record,
    dmarc_record,
    mta_sts_record,
    parked_records,
    policy_host_record,
    report_path,
    tls_rpt_record,
)
from mailposture.records.mta_sts import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mailposture.config.model import Config, Domain


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one domain. With the name alone: of a domain that is not ours, of which nothing is known."""

    domain: str
    # Neither takes nor sends mail, so no reports come and no policy is needed. None: what DNS says is what is meant.
    parked: bool | None = None
    records: tuple[DnsRecord, ...] = ()  # to publish, in this order: the policy must be there before its record
    destinations: tuple[str, ...] = ()  # the `rua` URIs of its TLSRPT record; none where no TLS reports are asked for
    dmarc_destinations: tuple[str, ...] = ()  # the same of its DMARC record
    # All addresses that reports reach us at, whichever the record names: maybe thousands, so gathered when asked for.
    recipients: Callable[[], frozenset[str]] = frozenset
    policy: Policy | None = None  # the MTA-STS policy that we host
    wants_policy: bool = False  # also true where the configuration lacks the MX hosts that the policy needs
    expiring_within: timedelta = timedelta(days=14)  # certificates are to be renewed by then

    @property
    def reports(self) -> bool:
        """Whether the configuration asks senders for TLS reports."""
        return bool(self.destinations)

    def reaches_us(self, uri: str) -> bool:
        """Whether reports sent to a `rua` URI come to us."""
        wanted = report_uris.comparable(uri)
        scheme, _, address = wanted.partition(":")
        return (scheme == "mailto" and address in self.recipients()) or wanted in map(
            report_uris.comparable, (*self.destinations, *self.dmarc_destinations)
        )

    @property
    def policy_body(self) -> bytes | None:
        """The policy, byte for byte as the policy host serves it."""
        return mta_sts.render(self.policy) if self.policy is not None else None

    def record(self, name: str) -> DnsRecord | None:
        """The record to publish at a name; None if none is expected, or its value is not known."""
        return next((record for record in self.records if record.name == name and record.value is not None), None)


def expectation(config: Config, domain: Domain) -> Expectation:
    """What is expected of a domain of the configuration."""
    policy = _policy(domain)
    policy_records = (
        (
            policy_host_record(domain.name, config.policy_host.hostname),
            mta_sts_record(domain.name, mta_sts.render(policy)),
        )
        if policy is not None
        else ()
    )
    destinations = () if domain.parked else _destinations(config, domain)
    dmarc_destinations = _dmarc_destinations(config, domain)
    if domain.parked:
        records = (*parked_records(domain.name, dmarc_destinations), *policy_records)
    else:
        first_step = dmarc.render_record(destinations=dmarc_destinations)
        records = (
            tls_rpt_record(domain.name, destinations),
            *policy_records,
            dmarc_record(domain.name, first_step),
        )
    return Expectation(
        domain=domain.name,
        parked=domain.parked,
        records=(*records, *_authorizations(config, domain, dmarc_destinations)),
        destinations=destinations,
        dmarc_destinations=dmarc_destinations,
        recipients=config.report_addresses,
        policy=policy,
        wants_policy=domain.mta_sts is not None,
        expiring_within=domain.thresholds.certificate_expiry,
    )


def _policy(domain: Domain) -> Policy | None:
    """The policy that we host: `mta_sts`, whose `mx` may be left to the domain's own `mx` list.

    None where the domain has no `mta_sts`, or has a mode that needs MX hosts and names none: such a policy is invalid
    (RFC 8461, section 3.2), and a guess from DNS may be what an attacker answered, so it is never filled in silently.
    """
    wanted = domain.mta_sts
    if wanted is None:
        return None
    policy = Policy(mode=wanted.mode, mx=wanted.mx or domain.mx, max_age=wanted.max_age)
    return policy if policy.mx or policy.mode is PolicyMode.NONE else None


def _destinations(config: Config, domain: Domain) -> tuple[str, ...]:
    """The `rua` URIs to publish: a recipient of its own if there is one, and its HTTPS path where both exist.

    Reports that arrive by both ways count once, and a sender that fails with one has the other (RFC 8460, section 3).
    """
    destinations = [f"mailto:{_address(config, domain, 'tlsrpt')}"]
    if config.https.public_url and domain.token:
        destinations.append(f"{config.https.public_url}{report_path(domain.token)}")
    return tuple(destinations)


def _dmarc_destinations(config: Config, domain: Domain) -> tuple[str, ...]:
    """The same for DMARC reports, which come by mail alone. A parked domain takes no mail, its reports neither."""
    if domain.parked and not any(domain.name != address.rpartition("@")[2] for address in config.own_addresses()):
        return ()
    return (f"mailto:{_address(config, domain, 'dmarc')}",)


def _address(config: Config, domain: Domain, name: str) -> str:
    """The recipient to publish: of the domain itself where it takes mail, and called like the reports, if there is one.

    `name`: what such addresses are called by default.
    """
    addresses = config.own_addresses() or (f"{name}@{domain.name}",)

    def unfit(address: str) -> tuple[bool, bool, str]:
        local, _, host = address.rpartition("@")
        return ((host == domain.name) is domain.parked, local != name, address)

    return min(addresses, key=unfit)


def _authorizations(config: Config, domain: Domain, destinations: Iterable[str]) -> Iterator[DnsRecord]:
    """The records that let DMARC reports about the domain leave its organization."""
    for uri in destinations:
        if dmarc.needs_authorization(domain.name, uri):
            host = report_uris.mail_host(uri)
            around = [one.name for one in config.domains if f".{host}".endswith(f".{one.name}")]
            yield authorization_record(domain.name, uri, zone=max(around, key=len, default=None))
