"""What the configuration expects of a domain: which records, which policy, reports or none, mail or none.

Everything that compares a domain with its configuration asks here: checks, probes, `records`, the policy host, and what
is written into the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mailposture.config.domains import PolicyMode
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
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mailposture.config.domains import Domain
    from mailposture.config.model import Config


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one domain. With the name alone: of a domain that is not ours, of which nothing is known."""

    domain: str
    # Neither takes nor sends mail, so no reports come and no policy is needed. None: what DNS says is what is meant.
    parked: bool | None = None
    records: tuple[DnsRecord, ...] = ()  # to publish, in this order: the policy must be there before its record
    destinations: tuple[str, ...] = ()  # the `rua` URIs of its TLSRPT record; none where no TLS reports are asked for
    dmarc_destinations: tuple[str, ...] = ()  # the same of its DMARC record
    # Whether reports that are mailed to an address reach us, whichever the record names.
    takes_reports: Callable[[str], bool] = lambda _: False
    policy: Policy | None = None  # the MTA-STS policy that we host
    wants_policy: bool = False  # also true where the configuration lacks the MX hosts that the policy needs
    expiring_within: timedelta = timedelta(days=14)  # certificates are to be renewed by then
    probes: tuple[str, ...] = ()  # that have something to look at, by name

    @property
    def reports(self) -> bool:
        """Whether the configuration asks senders for TLS reports."""
        return bool(self.destinations)

    def reaches_us(self, uri: str) -> bool:
        """Whether reports sent to a `rua` URI come to us."""
        wanted = report_uris.comparable(uri)
        scheme, _, address = wanted.partition(":")
        return (scheme == "mailto" and self.takes_reports(address)) or wanted in map(
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
        takes_reports=config.reaches_us,
        policy=policy,
        wants_policy=domain.mta_sts is not None,
        expiring_within=domain.thresholds.certificate_expiry,
        probes=_probes(domain, policy),
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


def _probes(domain: Domain, policy: Policy | None) -> tuple[str, ...]:
    """A parked domain has no mail servers, and no policy but one of mode none, which withdraws another."""
    if not domain.parked:
        return ("dns", "mta-sts", "mx")
    return ("dns",) if policy is None else ("dns", "mta-sts")


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
    if not domain.parked:
        return (f"mailto:{_address(config, domain, 'dmarc')}",)
    around = config.domain_around(domain.name.partition(".")[2])
    if not config.own_addresses() and around is not None and not around.parked:
        return (f"mailto:dmarc@{around.name}",)  # of the same organization, so nobody has to authorize it
    return (f"mailto:{_called('dmarc', config.addresses_for_parked)}",)


def _address(config: Config, domain: Domain, name: str) -> str:
    """The recipient to publish: of the domain itself, and called like the reports, if there is one.

    `name`: what such addresses are called by default.
    """
    addresses = config.own_addresses() or (f"{name}@{domain.name}",)
    taking = [address for address in addresses if config.takes_mail(address.rpartition("@")[2])]
    own = [address for address in taking if address.rpartition("@")[2] == domain.name]
    return _called(name, own or taking or addresses)


def _called(name: str, addresses: Sequence[str]) -> str:
    return min(addresses, key=lambda address: (address.rpartition("@")[0] != name, address))


def _authorizations(config: Config, domain: Domain, destinations: Iterable[str]) -> Iterator[DnsRecord]:
    """The records that let DMARC reports about the domain leave its organization."""
    for uri in destinations:
        if dmarc.needs_authorization(domain.name, uri):
            around = config.domain_around(report_uris.mail_host(uri) or "")
            yield authorization_record(domain.name, uri, zone=around.name if around else None)
