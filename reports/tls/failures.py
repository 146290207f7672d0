"""What a failure is and how bad it is.

A report names each failure by a `result-type` (RFC 8460, section 4.3) and may add a `failure-reason-code`, whose text
the standard leaves to the sender. The result types know neither time-outs nor DNS errors: those hide in the reason
codes of `validation-failure` and `sts-policy-fetch-error`, so `classify()` reads both. A downgrade is never one
report's word: `suspected-downgrade` and `mta-sts-not-applied` come from comparing reports (the views
tls_suspected_downgrades and mta_sts_suspected_downgrades).

The words themselves are in failure_words.py, those of categories in reports/causes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.causes import CAUSES, FAILURE_CATEGORIES, About, Severity
from reports.tls import failure_words
from reports.tls.failure_codes import DNSSEC_ERRORS, EXTENDED_DNS_ERRORS, TLS_ALERTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.causes import Cause
    from reports.tls.failure_words import Words


class Category(StrEnum):
    """What kind of failure it is: whom to call and where to look."""

    CERTIFICATE = "certificate"
    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    MTA_STS_POLICY = "mta-sts-policy"
    DNS = "dns"
    TIMEOUT = "timeout"
    SUSPECTED_DOWNGRADE = "suspected-downgrade"
    MTA_STS_NOT_APPLIED = "mta-sts-not-applied"
    DANE = "dane"
    OTHER = "other"


SUSPICIONS: Final = frozenset(Category(cause.term) for cause in FAILURE_CATEGORIES if cause.about is About.SENDER)
"""Categories of no failure detail: what comparing reports makes one suspect."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What one failure detail is."""

    category: Category
    severity: Severity


class Kind(StrEnum):
    """What a term is."""

    RESULT_TYPE = "result-type"
    CATEGORY = "category"
    REASON_CODE = "reason-code"
    CAUSE = "cause"  # of the view `attention`, and no category


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a term means, in words."""

    term: str
    kind: Kind
    category: Category | None  # of a failure
    severity: Severity
    title: str
    explanation: str
    action: str
    refuses_mail: bool = True  # a result type under an MTA-STS policy in mode enforce: whether senders refuse delivery


class _ReasonRule(NamedTuple):
    """Reason codes that match the pattern mean the term."""

    term: str
    pattern: re.Pattern[str]
    classification: Classification


_RESULT_TYPES: Final[dict[str, Classification]] = {
    "starttls-not-supported": Classification(Category.STARTTLS_NOT_SUPPORTED, Severity.CRITICAL),
    "certificate-host-mismatch": Classification(Category.CERTIFICATE, Severity.CRITICAL),
    "certificate-expired": Classification(Category.CERTIFICATE, Severity.CRITICAL),
    "certificate-not-trusted": Classification(Category.CERTIFICATE, Severity.CRITICAL),
    "validation-failure": Classification(Category.OTHER, Severity.WARNING),
    "tlsa-invalid": Classification(Category.DANE, Severity.CRITICAL),
    # RFC 8460 lists it under DANE, but the cure is in the zone's signatures, and more than mail is broken.
    "dnssec-invalid": Classification(Category.DNS, Severity.CRITICAL),
    "dane-required": Classification(Category.DANE, Severity.CRITICAL),
    # Without a usable policy senders deliver (RFC 8461, sections 3.3 and 5): less protection, no lost mail.
    "sts-policy-fetch-error": Classification(Category.MTA_STS_POLICY, Severity.WARNING),
    "sts-policy-invalid": Classification(Category.MTA_STS_POLICY, Severity.WARNING),
    "sts-webpki-invalid": Classification(Category.MTA_STS_POLICY, Severity.WARNING),
}

_REFUSING_NOTHING: Final = frozenset({"sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"})
"""A policy that cannot be fetched or read is not applied (RFC 8461, section 5)."""


def _rule(term: str, pattern: str, category: Category, severity: Severity) -> _ReasonRule:
    return _ReasonRule(term, re.compile(pattern), Classification(category, severity))


def _together(*patterns: str) -> str:
    """A pattern for texts that hold a match of each, in any order; linear, unlike `a.*b`, whatever the text."""
    return "^" + "".join(f"(?=.*(?:{pattern}))" for pattern in patterns)


# The first that matches wins: the specific before the general. Patterns see normalized text: lower case, every run of
# other characters than letters, digits and dots is one hyphen.
_REASONS: Final[tuple[_ReasonRule, ...]] = (
    _rule(
        "bad-https-response-code",
        r"https?-(response|status)|(response|status)-code-[1-5]\d\d\b|^http-[1-5]\d\d\b",
        Category.MTA_STS_POLICY,
        Severity.WARNING,
    ),
    _rule(
        "mx-not-in-policy",
        r"no-matching-mx|"
        + _together(r"\bmx\b", r"mismatch|not-(match|listed|found-in|in|allowed|permitted|authori)|failed-mta-sts"),
        Category.MTA_STS_POLICY,
        Severity.CRITICAL,
    ),
    _rule("tlsa-mismatch", r"\b(tlsa|dane)\b", Category.DANE, Severity.CRITICAL),
    _rule(
        "dns-extended-error",
        r"dns-extended-error|\bede-\d",
        Category.DNS,
        Severity.WARNING,
    ),
    _rule(
        "dns-lookup-failed",
        r"\b(dns|dnssec|nxdomain|servfail|nodata)\b|no-such-host|host-not-found|name-resolution|resolve-host|"
        r"name-or-service-not-known|(mx|domain|host|name)-(record-)?lookup|hostname-nor-servname",
        Category.DNS,
        Severity.WARNING,
    ),
    _rule(
        "tls-remote-alert",
        r"tls-remote-alert|remote-error-tls|\balert-\d|(ssl|tls)v?[\d.]*-alert",
        Category.OTHER,
        Severity.WARNING,
    ),
    _rule(
        "certificate-has-expired",
        _together(r"cert|x509", r"expired|not-yet-valid|not-valid-yet"),
        Category.CERTIFICATE,
        Severity.CRITICAL,
    ),
    _rule("self-signed-certificate", r"self-?signed", Category.CERTIFICATE, Severity.CRITICAL),
    _rule(
        "certificate-name-mismatch",
        r"host-?name-(mismatch|does-not|not)|host-mismatch|name-mismatch|"
        + _together(r"cert|subject", r"mismatch|not-match|not-valid-for"),
        Category.CERTIFICATE,
        Severity.CRITICAL,
    ),
    _rule(
        "certificate-chain",
        r"x509|untrusted-?root|unknown-ca\b|"
        + _together(r"\bcert(ificate)?s?\b", r"verif|trust|valid|chain|revoked|error|fail|unknown|issuer"),
        Category.CERTIFICATE,
        Severity.CRITICAL,
    ),
    _rule(
        "starttls-refused",
        r"tls-(is-)?(not-available|not-supported|unavailable|currently-unavailable)|"
        + _together(r"starttls", r"\b(not|no|without|refused|rejected|unavailable|missing|fail(ed|ure)?)\b"),
        Category.STARTTLS_NOT_SUPPORTED,
        Severity.CRITICAL,
    ),
    _rule(
        "io-timeout-during-handshake",
        r"time-?d?-?out|timeout|deadline-exceeded|etimedout",
        Category.TIMEOUT,
        Severity.WARNING,
    ),
    _rule(
        "connection-closed-during-handshake",
        r"econnreset|broken-pipe|\beof\b|remote-host-closed|"
        + _together(r"\b(connection|peer)\b", r"\b(closed|reset|lost|aborted|dropped|terminated)\b"),
        Category.TIMEOUT,
        Severity.WARNING,
    ),
    _rule(
        "connection-refused",
        r"econnrefused|(host|network|address)-(is-)?(unreachable|down)|no-route|"
        + _together(r"\bconnect(ion)?\b", r"\b(refused|failed|could-not|unable)\b"),
        Category.TIMEOUT,
        Severity.WARNING,
    ),
    _rule(
        "tls-handshake-failure",
        r"handshake|no-shared-cipher|no-cipher|wrong-version|unsupported-protocol|protocol-version|unsupported-version|"
        r"(dh|ee)-key-too-small|inappropriate-fallback|legacy-renegotiation",
        Category.OTHER,
        Severity.WARNING,
    ),
)

# What a reason code may say better than the result type. A policy that cannot be fetched because of a certificate stays
# a policy failure: the words for `certificate` would send people to the mail server instead of the policy host.
_REFINED_BY_REASON: Final[dict[str, frozenset[Category]]] = {
    "validation-failure": frozenset(Category),
    "sts-policy-fetch-error": frozenset({Category.TIMEOUT, Category.DNS, Category.MTA_STS_POLICY}),
}
_UNKNOWN: Final = Classification(Category.OTHER, Severity.WARNING)
_LONGEST_REASON = 200  # characters that are read of untrusted text; real codes have up to a hundred
_SEPARATORS = re.compile(r"[^a-z0-9.]+")
_FIRST_NUMBER = re.compile(r"\d{1,4}")


@lru_cache(maxsize=16_384)
def classify(result_type: str, reason_code: str = "") -> Classification:
    """Say what a failure detail is; anything that is not known is category `other`."""
    result_type = _normalize(result_type)
    classification = _RESULT_TYPES.get(result_type, _UNKNOWN)
    allowed = _REFINED_BY_REASON.get(result_type)
    if allowed is None or not reason_code:
        return classification
    rule = _match(_normalize(reason_code))
    return rule.classification if rule and rule.classification.category in allowed else classification


def explain(term: str) -> Meaning | None:
    """Say what a result type, a category or a reason code means; None if the term says nothing to us.

    A result type wins over a category of the same name (`starttls-not-supported`).
    """
    normalized = _normalize(term)
    known = MEANINGS.get(normalized)
    if known:
        return known
    rule = _match(normalized)
    return _with_number(MEANINGS[rule.term], normalized) if rule else None


def suggest(term: str, *, limit: int = 3) -> list[str]:
    """Known terms that look like this one, best first."""
    return get_close_matches(_normalize(term)[:100], MEANINGS, n=limit, cutoff=0.5)


def _normalize(text: str) -> str:
    return _SEPARATORS.sub("-", text[:_LONGEST_REASON].lower()).strip("-")


def _match(reason: str) -> _ReasonRule | None:
    rule = next((rule for rule in _REASONS if rule.pattern.search(reason)), None)
    if rule and rule.term == "dns-extended-error" and _number_after("error", reason) in DNSSEC_ERRORS:
        return rule._replace(classification=Classification(Category.DNS, Severity.CRITICAL))
    return rule


def _number_after(word: str, text: str) -> int:
    number = _FIRST_NUMBER.search(text.partition(word)[2] or text)
    return int(number[0]) if number else -1


def _with_number(meaning: Meaning, reason: str) -> Meaning:
    """Let the words of a numbered code say what its number means."""
    match meaning.term:
        case "dns-extended-error":
            number = _number_after("error", reason)
            name = EXTENDED_DNS_ERRORS.get(number)
            severity = Severity.CRITICAL if number in DNSSEC_ERRORS else meaning.severity
            return replace(meaning, severity=severity, title=f"DNS error {number}: {name}") if name else meaning
        case "tls-remote-alert":
            number = _number_after("alert", reason)
            name = TLS_ALERTS.get(number)
            return replace(meaning, title=f"Your server refused TLS (alert {number}): {name}") if name else meaning
        case _:
            return meaning


def _meaning(term: str, kind: Kind, classification: Classification, words: Words) -> Meaning:
    return Meaning(
        term=term,
        kind=kind,
        category=classification.category,
        severity=classification.severity,
        title=words.title,
        explanation=words.explanation,
        action=words.action,
        refuses_mail=term not in _REFUSING_NOTHING,
    )


def _meaning_of_cause(cause: Cause, kind: Kind, category: Category | None = None) -> Meaning:
    return Meaning(
        term=cause.term,
        kind=kind,
        category=category,
        severity=cause.severity,
        title=cause.title,
        explanation=cause.explanation,
        action=cause.action,
    )


_OF_RESULT_TYPES = tuple(
    _meaning(term, Kind.RESULT_TYPE, classification, failure_words.RESULT_TYPES[term])
    for term, classification in _RESULT_TYPES.items()
)
_OF_CATEGORIES = tuple(_meaning_of_cause(cause, Kind.CATEGORY, Category(cause.term)) for cause in FAILURE_CATEGORIES)
_OF_REASONS = tuple(
    _meaning(rule.term, Kind.REASON_CODE, rule.classification, failure_words.REASONS[rule.term]) for rule in _REASONS
)

_OF_CAUSES = tuple(_meaning_of_cause(cause, Kind.CAUSE) for term, cause in CAUSES.items() if term not in set(Category))

ALL_MEANINGS: Final = (*_OF_RESULT_TYPES, *_OF_CATEGORIES, *_OF_REASONS, *_OF_CAUSES)
"""Every meaning; `starttls-not-supported` is here twice, as result type and as category."""

MEANINGS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {meaning.term: meaning for meaning in (*ALL_MEANINGS, *_OF_RESULT_TYPES)}
)
"""One meaning a term; a result type wins over a category of the same name."""
