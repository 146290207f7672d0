"""The records that a domain publishes so that senders report failures and refuse downgrades."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mailposture.records import dmarc, mta_sts, tls_rpt
from mailposture.records.dkim_key import key_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TTL = 3600  # seconds; also how long senders may miss a policy's new id


@dataclass(frozen=True, kw_only=True)
class DnsRecord:
    """One record to publish. `value` is a TXT text in one piece, and None where the configuration lacks it."""

    name: str  # absolute, without the final dot
    type: str
    value: str | None
    note: str
    domain: str | None = None  # the configured domain that the name is in; None if it is in none
    ttl: int = TTL


def report_path(token: str) -> str:
    """The path that a domain's reports are posted to."""
    return f"{tls_rpt.REPORT_PATH}{token}"


def tls_rpt_record(domain: str, destinations: Iterable[str]) -> DnsRecord:
    """Asks senders for reports to `mailto:` and `https:` URIs (RFC 8460, section 3)."""
    return DnsRecord(
        name=tls_rpt.record_name(domain),
        type="TXT",
        domain=domain,
        value=tls_rpt.render_record(destinations),
        note="asks senders to report TLS failures to us (RFC 8460)",
    )


def dmarc_record(domain: str, text: str | None, *, note: str = "") -> DnsRecord:
    """Asks receivers for DMARC reports, and for what to do with mail that fails (RFC 9989); `note` if not as usual."""
    return DnsRecord(
        name=dmarc.record_name(domain),
        type="TXT",
        domain=domain,
        value=text,
        note=note or "asks receivers to report who sends mail in its name, and what to do with forgeries (RFC 9989)",
    )


def authorization_record(domain: str, uri: str, *, zone: str | None) -> DnsRecord:
    """Lets reports about a domain go elsewhere; `zone` is the configured domain that their address is in."""
    return DnsRecord(
        name=dmarc.authorization_name(domain, uri),
        type="TXT",
        domain=zone,
        value="v=DMARC1",
        note=f"takes DMARC reports about {domain}: without it none are sent there (RFC 9990)",
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


def policy_host_record(domain: str, host: str | None) -> DnsRecord:
    """Leads senders to the policy host; the certificate must still be valid for the name they ask for."""
    name = mta_sts.policy_host_name(domain)
    lacking = (
        f"is the policy host itself, so it needs A/AAAA records with its address: {name}"
        if host == name
        else "needs policy_host.hostname in the configuration, or an A/AAAA record with the policy host's address"
    )
    known = host is not None and host != name
    return DnsRecord(
        name=name,
        type="CNAME",
        domain=domain,
        value=f"{host}." if known else None,
        note="leads senders to our policy host (RFC 8461)" if known else lacking,
    )


def null_mx_record(name: str) -> DnsRecord:
    """Says that a domain takes no mail; at `*.example.com` that no subdomain without records of its own does."""
    return DnsRecord(name=name, type="MX", value="0 .", note="takes no mail (RFC 7505)")


def no_sender_record(name: str) -> DnsRecord:
    """Says that nobody sends mail from a domain."""
    return DnsRecord(name=name, type="TXT", value="v=spf1 -all", note="sends no mail (RFC 7208)")


def no_key_record(domain: str) -> DnsRecord:
    """Revokes whatever key a signature in the name of a domain says that it was made with (RFC 6376, section 3.6.1)."""
    return DnsRecord(
        name=key_name("*", domain), type="TXT", value="v=DKIM1; p=", note="no DKIM signature is valid (RFC 6376)"
    )


def parked_records(domain: str, destinations: Sequence[str]) -> tuple[DnsRecord, ...]:
    """What a domain publishes that neither takes nor sends mail, with the addresses of DMARC reports about it."""
    policy = dmarc.render_parked_record(destinations)
    return tuple(
        replace(record, domain=domain)
        for record in (
            null_mx_record(domain),
            no_sender_record(domain),
            dmarc_record(domain, policy, note="has receivers reject mail in its name, and report it to us (RFC 9989)"),
            no_key_record(domain),
        )
    )


def tlsa_record(mx_host: str, key: bytes) -> DnsRecord:
    """Pins a key (SubjectPublicKeyInfo, DER): DANE-EE, SPKI, SHA-256, as RFC 7672, section 3.1.1 advises."""
    return DnsRecord(
        name=f"_25._tcp.{mx_host}",
        type="TLSA",
        value=f"3 1 1 {hashlib.sha256(key).hexdigest()}",
        note="pins the key shown now; only in a zone signed by DNSSEC, and publish a new key's record before its use",
    )
