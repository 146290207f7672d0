"""The records that a domain publishes so that senders report failures and refuse downgrades."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailposture.records import mta_sts, tls_rpt

if TYPE_CHECKING:
    from mailposture.config.model import Config, Domain

TTL = 3600  # seconds; also how long senders may miss a policy's new id


@dataclass(frozen=True, kw_only=True)
class DnsRecord:
    """One record to publish. `value` is a TXT text in one piece, and None where the configuration does not tell it."""

    name: str  # absolute, without the final dot
    type: str
    value: str | None
    note: str
    domain: str | None = None  # the configured domain that the name is in; None if it is in none
    ttl: int = TTL


def records_to_publish(config: Config, domain: Domain) -> tuple[DnsRecord, ...]:
    """All records for a configured domain, in the order of publishing: the policy must be there before its record."""
    records = [tls_rpt_record(config, domain)]
    policy = mta_sts.configured_policy(domain)
    if policy is not None:
        records.append(policy_host_record(config, domain))
        records.append(mta_sts_record(domain.name, mta_sts.render(policy)))
    return tuple(records)


def report_destinations(config: Config, domain: Domain) -> tuple[str, ...]:
    """The `rua` URIs of a domain: a recipient of its own if there is one, and its secret HTTPS path where both exist.

    Reports that arrive by both ways count once, and a sender that fails with one has the other (RFC 8460, section 3).
    """
    recipients = sorted(config.accepted_recipients(), key=lambda one: (not one.endswith(f"@{domain.name}"), one))
    destinations = [f"mailto:{recipients[0]}"]
    if config.https.public_url and domain.token:
        destinations.append(f"{config.https.public_url}{report_path(domain.token)}")
    return tuple(destinations)


def destinations_of_ours(config: Config, domain: Domain) -> frozenset[str]:
    """All `rua` URIs by which reports about a domain reach us, whichever of them its record names."""
    mailboxes = {f"mailto:{one}" for one in config.accepted_recipients()}
    return frozenset(map(tls_rpt.comparable, mailboxes.union(report_destinations(config, domain))))


def report_path(token: str) -> str:
    """The path that a domain's reports are posted to; the secret in it is what vouches for them."""
    return f"{tls_rpt.REPORT_PATH}{token}"


def tls_rpt_record(config: Config, domain: Domain) -> DnsRecord:
    """Asks senders for reports (RFC 8460, section 3)."""
    return DnsRecord(
        name=tls_rpt.record_name(domain.name),
        type="TXT",
        domain=domain.name,
        value=tls_rpt.render_record(report_destinations(config, domain)),
        note="asks senders to report TLS failures to us (RFC 8460)",
    )


def mta_sts_record(domain: str, body: bytes) -> DnsRecord:
    """Announces a policy (RFC 8461, section 3.1)."""
    return DnsRecord(
        name=mta_sts.record_name(domain),
        type="TXT",
        domain=domain,
        value=mta_sts.render_record(body),
        note=f"announces the MTA-STS policy; publish once `mailposture policy {domain}` says so (RFC 8461)",
    )


def policy_host_record(config: Config, domain: Domain) -> DnsRecord:
    """Leads senders to the policy host; the certificate must still be valid for the name they ask for."""
    name, host = mta_sts.policy_host_name(domain.name), config.policy_host.hostname
    lacking = (
        f"is the policy host itself, so it needs A/AAAA records with its address: {name}"
        if host == name
        else "needs policy_host.hostname in the configuration, or an A/AAAA record with the policy host's address"
    )
    known = host is not None and host != name
    return DnsRecord(
        name=name,
        type="CNAME",
        domain=domain.name,
        value=f"{host}." if known else None,
        note="leads senders to our policy host (RFC 8461)" if known else lacking,
    )


def tlsa_record(mx_host: str, certificate: bytes) -> DnsRecord:
    """Pins the key of a (DER) certificate: usage DANE-EE, selector SPKI, matching SHA-256 (RFC 7672, section 3.1.1)."""
    spki = x509.load_der_x509_certificate(certificate).public_key()
    key = spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return DnsRecord(
        name=f"_25._tcp.{mx_host}",
        type="TLSA",
        value=f"3 1 1 {hashlib.sha256(key).hexdigest()}",
        note="pins the key shown now; only in a zone signed by DNSSEC, and publish a new key's record before its use",
    )
