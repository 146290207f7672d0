"""What the configuration expects of a domain: which records, which policy, reports or none, mail or none.

Everything that compares a domain with its configuration asks here: checks, probes, `records`, the policy host, and what
is written into the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mailposture.config.model import PolicyMode
from mailposture.records import mta_sts, tls_rpt
from mailposture.records.dns_records import (
    DnsRecord,
    mta_sts_record,
    parked_records,
    policy_host_record,
    report_path,
    tls_rpt_record,
)
from mailposture.records.mta_sts import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailposture.config.model import Config, Domain


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is expected of one domain. With the name alone: of a domain that is not ours, of which nothing is known."""

    domain: str
    # Neither takes nor sends mail, so no reports come and no policy is needed. None: what DNS says is what is meant.
    parked: bool | None = None
    records: tuple[DnsRecord, ...] = ()  # to publish, in this order: the policy must be there before its record
    destinations: tuple[str, ...] = ()  # the `rua` URIs that its record names; none where no reports are asked for
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
        wanted = tls_rpt.comparable(uri)
        scheme, _, address = wanted.partition(":")
        return (scheme == "mailto" and address in self.recipients()) or wanted in map(
            tls_rpt.comparable, self.destinations
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
    mail_records = parked_records(domain.name) if domain.parked else (tls_rpt_record(domain.name, destinations),)
    return Expectation(
        domain=domain.name,
        parked=domain.parked,
        records=(*mail_records, *policy_records),
        destinations=destinations,
        recipients=config.accepted_recipients,
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
    addresses = [address.lower() for address in config.recipients] or [f"tlsrpt@{domain.name}"]
    destinations = [f"mailto:{min(addresses, key=lambda one: (not one.endswith(f'@{domain.name}'), one))}"]
    if config.https.public_url and domain.token:
        destinations.append(f"{config.https.public_url}{report_path(domain.token)}")
    return tuple(destinations)
