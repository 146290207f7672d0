"""DANE for SMTP: whether the certificate that an MX shows is one that its TLSA records allow (RFC 7672)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailposture.checks.resolver import Resolver, Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.records.dns_records import tlsa_record
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DANE_TA, _DANE_EE = 2, 3  # the only usages for SMTP (RFC 7672, section 3.1)
_DIGESTS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: lambda data: hashlib.sha256(data).digest(),
    2: lambda data: hashlib.sha512(data).digest(),
}


def tlsa_name(mx_host: str) -> str:
    """Where the TLSA records of an MX live."""
    return f"_25._tcp.{mx_host}"


def is_usable(record: Any) -> bool:
    """Whether senders of mail use a TLSA record (dnspython's rdata), or skip it (RFC 7672, section 3.1)."""
    return record.usage in (_DANE_TA, _DANE_EE) and record.selector in (0, 1) and record.mtype in _DIGESTS


def matches_tlsa(record: Any, chain: Sequence[bytes]) -> bool:
    """Whether a TLSA record (dnspython's rdata) names a certificate of a (DER) chain, the server's own first."""
    candidates = {_DANE_EE: chain[:1], _DANE_TA: chain[1:]}.get(record.usage, ())
    digest = _DIGESTS.get(record.mtype)
    return digest is not None and any(digest(_selected(record.selector, one)) == record.cert for one in candidates)


def _selected(selector: int, certificate: bytes) -> bytes:
    """What a TLSA record is about: the whole certificate, or its public key (RFC 6698, section 2.1.2)."""
    if selector != 1:
        return certificate
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except ValueError:
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


async def check_tlsa(
    mx_host: str, chains: Sequence[Sequence[bytes]], *, resolver: Resolver, mx_signed: bool = True
) -> CheckResult:
    """Whether the TLSA records fit what every address of an MX shows. Without records there is no DANE; that may be.

    `mx_signed`: whether DNSSEC vouches for the MX record that leads there.
    """
    subject = Subject("tlsa", mx_host)
    answer = await resolver.lookup(tlsa_name(mx_host), "TLSA")
    if answer.status is Status.ABSENT:
        return subject.good("no TLSA record: senders use MTA-STS instead of DANE")
    if answer.status is Status.FAILED:
        # RFC 7672, section 2.1.1: senders that do DANE delay mail rather than deliver without an answer.
        return subject.wrong("dns-error", answer.detail, "senders with DANE hold mail back until this is answered")
    if not chains:
        return subject.unknown("no-certificate", "no certificate was seen to compare with", "mend STARTTLS first")
    for chain in chains:
        fault = _mismatch(answer.records, chain)
        if fault is not None:
            return subject.wrong(*fault, zone_line(tlsa_record(mx_host, chain[0])))
    if not answer.authenticated:
        return subject.unknown(
            "not-authenticated",
            "the TLSA record fits, but the resolver does not say that DNSSEC vouches for it",
            "ask with --nameserver a resolver that validates; if it says the same, sign the zone",
        )
    fits = "the certificate is the one that TLSA and DNSSEC vouch for"
    # RFC 7672, section 2.2.1: whoever forges the MX record names a host without TLSA records.
    return subject.good(fits if mx_signed else f"{fits}; but not for the MX record, so mail can be led elsewhere")


def _mismatch(records: Sequence[Any], chain: Sequence[bytes]) -> tuple[str, str] | None:
    """Why no record fits the certificates shown: reason and words; None if one does."""
    if not any(map(is_usable, records)):
        # RFC 7672, section 2.2: TLS is mandatory then, but nothing is compared.
        return "tlsa-unusable", f"senders skip all of {len(records)} TLSA records: mail knows only the usages 2 and 3"
    if not any(matches_tlsa(record, chain) for record in records):
        return "tlsa-mismatch", f"none of {len(records)} TLSA records fits the certificate shown"
    return None
