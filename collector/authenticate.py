"""Whom to believe: the step between a decoded report and its rows.

RFC 8460, section 3: a report by mail must carry a valid DKIM signature of the reporting domain, else it must be
ignored; anybody can mail a forgery that pages you. The RFC does not say how to find the reporting domain. Here it is
what the report itself claims to people who read it:

1. `organization-name`, where it is a domain name (tlsrpt-reporter, mail.ru, Stalwart, mox);
2. else the domain of `contact-info` (Google, Microsoft);
3. else, the body being silent, the `TLS-Report-Submitter` field, or else the author's domain (From).

A claim is proven by a signature of the same organizational domain (as DMARC's relaxed alignment: mail.example.com
for example.com, by the Public Suffix List). Header fields never override what the body claims, since who signs as
attacker.example can write any. A free-text name is not a proof of anything, so the few names that everybody knows are
bound to their domains.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from email.utils import getaddresses
from enum import StrEnum

from collector.dkim.keys import KeyCache
from collector.dkim.verifier import DkimResult, DkimVerifier, Outcome
from collector.envelope import Envelope, Source, Trust
from collector.reporter import contact_domains
from mailposture.config import Authentication, Unverified
from mailposture.domain_names import normalize, organizational_domain, public_suffixes

__all__ = ["Decision", "DkimResult", "DkimVerifier", "KeyCache", "Outcome", "Verdict", "decide_trust", "needs_dkim"]

# Senders whose organization-name is free text that every reader recognizes.
_WELL_KNOWN = {"google": "google.com", "microsoft": "microsoft.com"}


class Verdict(StrEnum):
    """What to do with a report."""

    BELIEVE = "believe"
    QUARANTINE = "quarantine"
    RETRY = "retry"  # DNS did not answer: ask again later, it is not the report's fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a report, and why."""

    verdict: Verdict
    trust: Trust
    dkim_domain: str = ""  # the signing domain that proves who reports
    reason: str = ""  # for people, unless the report is proven


def needs_dkim(envelope: Envelope) -> bool:
    """Whether a signature could matter: mail that no operator vouches for."""
    is_mail = envelope.source in (Source.SMTP, Source.LMTP, Source.IMAP)
    return is_mail and not (envelope.vouched or envelope.from_trusted_mailbox)


def decide_trust(
    envelope: Envelope,
    *,
    organization: str,
    contact: str,
    submitter: str,
    policy_domains: Collection[str],
    dkim: DkimResult | None,
    rules: Authentication,
    now: datetime,
) -> Decision:
    """Decide for one report.

    `organization` and `contact` are the JSON's organization-name and contact-info, `submitter` the mail's
    TLS-Report-Submitter, each "" if absent; `policy_domains` are those of ours that the report is about; `dkim` is
    what DkimVerifier found, or None where needs_dkim() is false.
    """
    if envelope.vouched or envelope.from_trusted_mailbox:
        return Decision(verdict=Verdict.BELIEVE, trust=Trust.OPERATOR if envelope.vouched else Trust.MAILBOX)
    if dkim is None:
        return _by_token(envelope, policy_domains, rules)
    claims = _claimed_domains(organization, contact, submitter, dkim.author)
    signer = _signer(claims, dkim.domains)
    if signer:
        return Decision(verdict=Verdict.BELIEVE, trust=Trust.DKIM, dkim_domain=signer)
    if _signer(claims, (*dkim.domains, *dkim.unanswered)) and now - envelope.received_at < rules.dns_give_up:
        return Decision(verdict=Verdict.RETRY, trust=Trust.NONE, reason=dkim.detail)
    if not dkim.domains:
        return _unproven(dkim.detail, rules)
    whom = " and ".join(f"{domain} ({field})" for domain, field in claims.items()) or "nobody in particular"
    signed = f"the report claims to be from {whom}, but is signed by {', '.join(dkim.domains)}"
    return _unproven(f"{signed}; {dkim.detail}" if dkim.detail else signed, rules)


def _by_token(envelope: Envelope, policy_domains: Collection[str], rules: Authentication) -> Decision:
    """A post to a domain's secret path vouches for reports about that domain only (RFC 8460 authenticates no post)."""
    if envelope.token_domain and all(domain == envelope.token_domain for domain in policy_domains):
        return Decision(verdict=Verdict.BELIEVE, trust=Trust.TOKEN)
    if envelope.token_domain:
        about = ", ".join(sorted(policy_domains))
        return _unproven(f"posted to the secret path of {envelope.token_domain}, but about {about}", rules)
    return _unproven("posted without a domain's secret path", rules)


def _unproven(reason: str, rules: Authentication) -> Decision:
    verdict = Verdict.BELIEVE if rules.unverified is Unverified.ACCEPT else Verdict.QUARANTINE
    return Decision(verdict=verdict, trust=Trust.NONE, reason=reason)


def _claimed_domains(organization: str, contact: str, submitter: str, author: str) -> dict[str, str]:
    """The domains that must have signed, each with the field that claims it; empty if nothing names any."""
    named = _public_domain(organization)
    if named:
        return {named: "organization-name"}
    claims = dict.fromkeys(contact_domains(contact), "contact-info")
    for word, domain in _WELL_KNOWN.items():
        if re.search(rf"\b{word}\b", organization, re.IGNORECASE):
            claims[domain] = "organization-name"
    if claims:
        return claims
    reporter = normalize(submitter)
    if reporter:
        return {reporter: "TLS-Report-Submitter"}
    authors = [address.rpartition("@")[2] for _, address in getaddresses([author])]
    return {domain: "From" for domain in map(normalize, authors) if domain}


def _signer(claims: Collection[str], signers: Collection[str]) -> str:
    """A signing domain, if there is one of the same organization for every claim, else ""."""
    proofs = [next((each for each in signers if _aligned(each, claim)), "") for claim in claims]
    return proofs[0] if proofs and all(proofs) else ""


def _aligned(signer: str, claim: str) -> bool:
    return signer == claim or (organizational_domain(signer) or signer) == organizational_domain(claim)


def _public_domain(text: str) -> str:
    """The domain name that a text is, if it ends in a suffix of the public Internet, else ""."""
    domain = normalize(text)
    if domain is None or "." not in domain:
        return ""
    return domain if public_suffixes().privatesuffix(domain, accept_unknown=False) else ""
