"""DANE for SMTP: whether the certificate that an MX shows is one that its TLSA records allow (RFC 7672)."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mailposture.checks.certificates import KeyKind, key_of, kind_of_key
from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Status
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


class Tlsa(StrEnum):
    """How TLSA records and certificate agree (RFC 7672)."""

    ABSENT = "absent"  # no DANE, which is allowed
    MATCH = "match"
    MATCH_UNSIGNED = "match-unsigned"  # fits, but our resolver does not say that DNSSEC authenticates it
    MISMATCH = "mismatch"
    UNUSABLE = "unusable"  # only records that DANE for SMTP does not know: senders encrypt, and compare nothing
    DNS_ERROR = "dns-error"
    NO_CERTIFICATE = "no-certificate"  # nothing was shown to compare with


def tlsa_name(mx_host: str) -> str:
    """Where the TLSA records of an MX live."""
    return f"_25._tcp.{mx_host}"


def compare(answer: Answer, chain: Sequence[bytes]) -> Tlsa:
    """Set the TLSA records of an MX against the (DER) certificates that one of its addresses shows, its own first."""
    if answer.status is not Status.FOUND:
        if answer.status is Status.FAILED and answer.malformed:
            return Tlsa.UNUSABLE
        return Tlsa.ABSENT if answer.status is Status.ABSENT else Tlsa.DNS_ERROR
    if not chain:
        return Tlsa.NO_CERTIFICATE
    if not any(map(_is_usable, answer.records)):
        return Tlsa.UNUSABLE
    if not any(_matches(record, chain) for record in answer.records):
        return Tlsa.MISMATCH
    return Tlsa.MATCH if answer.authenticated else Tlsa.MATCH_UNSIGNED


def mismatch_words(answer: Answer, chains: Sequence[Sequence[bytes]]) -> str:
    """What is wrong where a certificate that is shown matches nothing, of all (DER) chains that are shown."""
    kinds: dict[bool, set[KeyKind | None]] = {True: set(), False: set()}
    for chain in chains:
        kinds[compare(answer, chain) is Tlsa.MISMATCH].add(kind_of_key(chain[0]) if chain else None)
    lacking = kinds[True] - kinds[False] - {None}
    if kinds[False] and len(lacking) == 1:
        shown = f"certificate shown to clients that take {lacking.pop()} keys only"
    else:
        shown = "certificate shown"
    return f"none of {len(answer.records)} TLSA records fits the {shown}{_skipped_besides(answer, 'and')}"


def _skipped_besides(answer: Answer, joined: str) -> str:
    """What is said of records that cannot be read, beside what is said of those that can."""
    return f"; {joined} {answer.detail}, so senders skip that one" if answer.malformed else ""


def _is_usable(record: Any) -> bool:
    """Whether senders of mail use a TLSA record (dnspython's rdata), or skip it (RFC 7672, section 3.1)."""
    return record.usage in (_DANE_TA, _DANE_EE) and record.selector in (0, 1) and record.mtype in _DIGESTS


def _matches(record: Any, chain: Sequence[bytes]) -> bool:
    candidates = {_DANE_EE: chain[:1], _DANE_TA: chain[1:]}.get(record.usage, ())
    digest = _DIGESTS.get(record.mtype)
    if digest is None:
        return False
    # What a record is about: the whole certificate, or its public key (RFC 6698, section 2.1.2).
    selected = (key_of(one) if record.selector == 1 else one for one in candidates)
    return any(one is not None and digest(one) == record.cert for one in selected)


def check_tlsa(
    mx_host: str, answer: Answer, chains: Sequence[Sequence[bytes]], *, mx_signed: bool = True
) -> CheckResult:
    """Whether the TLSA records fit what every address of an MX shows. Without records there is no DANE; that may be.

    `mx_signed`: whether DNSSEC authenticates the MX record that leads there.
    """
    subject = Subject("tlsa", mx_host)
    compared = [compare(answer, chain) for chain in chains] or [compare(answer, ())]
    if Tlsa.ABSENT in compared:
        return subject.good("no TLSA record: senders use MTA-STS instead of DANE")
    if Tlsa.DNS_ERROR in compared:
        # RFC 7672, section 2.1.1: senders that do DANE delay mail rather than deliver without an answer.
        return subject.wrong(Reason.DNS_ERROR, answer.detail, "senders with DANE defer mail until this is answered")
    if Tlsa.NO_CERTIFICATE in compared:
        return subject.unknown(Reason.NO_CERTIFICATE, "no certificate was seen to compare with", "fix STARTTLS first")
    for chain, one in zip(chains or [()], compared, strict=True):
        if one in _FAULTS:
            return _fault(subject, answer, one, chain, chains)
    if Tlsa.MATCH_UNSIGNED in compared:
        return subject.unknown(
            Reason.NOT_AUTHENTICATED,
            "the TLSA record fits, but the resolver does not say that DNSSEC authenticates it",
            "ask with --nameserver a resolver that validates; if it says the same, sign the zone",
        )
    fits = "the certificate is the one that TLSA names, authenticated by DNSSEC"
    fits += _skipped_besides(answer, "but")
    # RFC 7672, section 2.2.1: whoever forges the MX record names a host without TLSA records.
    return subject.good(fits if mx_signed else f"{fits}; but the MX record is not, so mail can be led elsewhere")


_FAULTS = frozenset((Tlsa.MISMATCH, Tlsa.UNUSABLE))


def _fault(
    subject: Subject, answer: Answer, found: Tlsa, chain: Sequence[bytes], chains: Sequence[Sequence[bytes]]
) -> CheckResult:
    key = key_of(chain[0]) if chain else None
    instruction = zone_line(tlsa_record(subject.name, key)) if key else "the key of the certificate cannot be read"
    if answer.malformed and not answer.records:
        return subject.wrong(Reason.TLSA_UNUSABLE, f"{answer.detail}; senders skip it", instruction)
    if found is Tlsa.UNUSABLE:
        # RFC 7672, section 2.2: TLS is mandatory then, but nothing is compared.
        detail = (
            f"senders skip all of {len(answer.records)} TLSA records: mail knows only the usages 2 and 3, "
            f"the selectors 0 and 1 and the matching types 0, 1 and 2{_skipped_besides(answer, 'and')}"
        )
        return subject.wrong(Reason.TLSA_UNUSABLE, detail, instruction)
    return subject.wrong(Reason.TLSA_MISMATCH, mismatch_words(answer, chains), instruction)
