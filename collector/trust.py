"""Whether a report is authenticated: the step between what it is about and its rows.

A report by mail is accepted if an aligned DKIM signature of the reporting organization proves it (RFC 8460, section 3,
and alignment.py): anyone can mail a forgery that pages you. Otherwise it is quarantined, unless an operator accepts it:
by an import, a release, or a mailbox that the configuration trusts. For some kinds SPF proves as much (spf.py), and
where a mailbox's server rebuilds mail, what that server has verified (authserv.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from collector.alignment import same_organization
from collector.dkim.keys import KeyCache
from collector.dkim.verifier import DkimResult, DkimVerifier, Outcome
from collector.spf import SpfVerifier
from mailposture.spf import SpfOutcome
from reports.envelope import Envelope, Trust
from reports.rejection import QuarantineReason

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from collector.authserv import ServerVerdict
    from collector.dkim.verifier import Proof
    from collector.spf import SpfVerdict
    from mailposture.config.model import Authentication
    from reports.kind import Claim

__all__ = [
    "Decision",
    "DkimResult",
    "DkimVerifier",
    "KeyCache",
    "SpfVerifier",
    "Verdict",
    "decide_trust",
    "needs_dkim",
    "proof_of",
]


class Verdict(StrEnum):
    """What to do with a report."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    DEFERRED = "deferred"  # DNS did not answer, or a clock is wrong: try again later, it is not the report's fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do with a report, and why."""

    verdict: Verdict
    trust: Trust = Trust.NONE
    dkim_domain: str = ""  # the signing domain that proves who reports
    spf_domain: str = ""  # the domain that SPF proves, where no signature proves anything
    reason: QuarantineReason | None = None  # unless it is accepted
    detail: str = ""  # the reason in words


_DEFERRING = (Outcome.TEMPERROR, Outcome.EARLY)
# What an operator who accepts an author decides about; what was signed and says something else is no such case.
_WITHOUT_PROOF = (
    QuarantineReason.NO_SIGNATURE,
    QuarantineReason.NOT_ALIGNED,
    QuarantineReason.INVALID,
    QuarantineReason.DNS_FAILURE,
)
_REASONS = {
    Outcome.NONE: QuarantineReason.NO_SIGNATURE,
    Outcome.NOT_ALIGNED: QuarantineReason.NOT_ALIGNED,
    Outcome.FAIL: QuarantineReason.INVALID,
    Outcome.TEMPERROR: QuarantineReason.DNS_FAILURE,
    Outcome.EARLY: QuarantineReason.EARLY,
}


def needs_dkim(envelope: Envelope) -> bool:
    """Whether signatures decide about it: mail that no operator has accepted."""
    return envelope.source.is_mail and not (envelope.by_operator or envelope.from_trusted_mailbox)


def proof_of(dkim: DkimResult) -> Proof | None:
    """The one proof that a mail is read by: for all reports if there is one; that says how the body is to be read."""
    return min(dkim.proofs, key=lambda proof: (proof.mail_only, b"content-type" not in proof.fields), default=None)


def decide_trust(
    envelope: Envelope,
    *,
    dkim: DkimResult | None,
    spf: SpfVerdict | None = None,
    server: ServerVerdict | None = None,
    author_accepted: bool = False,
    posted: bool = True,
    key_service: str,
    unclear: str,
    claim: Claim | None,
    policy_domains: Collection[str],
    rules: Authentication,
    now: datetime,
) -> Decision:
    """Decide for one report.

    `dkim` is what DkimVerifier found of aligned signatures, or None where needs_dkim() is false; `spf` what SPF says of
    a mail without one; `server` what the server of its mailbox says of that;
    `author_accepted`: the configuration accepts its author without proof; `posted`: its kind comes by HTTPS too;
    `key_service`: its kind wants a signature by a key that is for that service, so that neither of these counts;
    `unclear` says why what they prove cannot be read, or is empty; `claim` is whom the proven header says it is from;
    `policy_domains` are those of ours that the report is about.
    """
    if envelope.by_operator or envelope.from_trusted_mailbox:
        return Decision(verdict=Verdict.ACCEPTED, trust=Trust.OPERATOR if envelope.by_operator else Trust.MAILBOX)
    if dkim is None:
        return _by_token(envelope, policy_domains) if posted else _not_by_mail()
    if key_service:
        spf, author_accepted = None, False
        if (signed := proof_of(dkim)) is not None and signed.mail_only:
            wanted = f"not for such reports (s={key_service} or s=*)"
            return _quarantined(
                QuarantineReason.INVALID, f"DKIM signature of {signed.domain} has a key for 'email' only, {wanted}"
            )
    decision = _by_proof(dkim, spf, server, unclear=unclear, claim=claim, rules=rules, now=now)
    if author_accepted and decision.verdict is Verdict.QUARANTINED and decision.reason in _WITHOUT_PROOF:
        return Decision(verdict=Verdict.ACCEPTED, trust=Trust.AUTHOR)
    return decision


def _by_proof(
    dkim: DkimResult,
    spf: SpfVerdict | None,
    server: ServerVerdict | None,
    *,
    unclear: str,
    claim: Claim | None,
    rules: Authentication,
    now: datetime,
) -> Decision:
    signed = proof_of(dkim)
    rebuilt = server.proof if server is not None else None
    proof = signed or rebuilt or (spf.proof if spf is not None else None)
    if proof is None:
        return _unproven(dkim, spf, server, may_wait=now - dkim.arrived_at < rules.dns_give_up)
    if unclear:
        return _quarantined(QuarantineReason.UNCLEAR, unclear)
    if claim is not None and not same_organization(proof.domain, claim.domain):
        detail = f"{claim.field} says {claim.domain}, but the mail is signed by {proof.domain}"
        return _quarantined(QuarantineReason.NOT_ALIGNED, detail)
    if signed is None and rebuilt is None:
        return Decision(verdict=Verdict.ACCEPTED, trust=Trust.SPF, spf_domain=proof.domain)
    trust = Trust.DKIM if signed else Trust.AUTHSERV
    return Decision(verdict=Verdict.ACCEPTED, trust=trust, dkim_domain=proof.domain)


def _unproven(dkim: DkimResult, spf: SpfVerdict | None, server: ServerVerdict | None, *, may_wait: bool) -> Decision:
    """A mail that nothing proves, or not yet."""
    detail = "; ".join([dkim.detail, *(each.detail for each in (spf, server) if each is not None)])
    spf_is_open = spf is not None and spf.outcome is SpfOutcome.TEMPERROR
    # What a signature lacks does not change any more, so it is SPF that is waited for.
    reason = QuarantineReason.DNS_FAILURE if spf_is_open and dkim.outcome not in _DEFERRING else _REASONS[dkim.outcome]
    if may_wait and (spf_is_open or dkim.outcome in _DEFERRING):
        return Decision(verdict=Verdict.DEFERRED, reason=reason, detail=detail)
    return _quarantined(reason, detail)


def _by_token(envelope: Envelope, policy_domains: Collection[str]) -> Decision:
    """A post to a domain's secret path is accepted for that domain only (RFC 8460 authenticates no post)."""
    if envelope.token_domain and all(domain == envelope.token_domain for domain in policy_domains):
        return Decision(verdict=Verdict.ACCEPTED, trust=Trust.TOKEN)
    detail = "posted without a domain's secret path"
    if envelope.token_domain:
        detail = f"posted to the secret path of {envelope.token_domain}, but about {', '.join(sorted(policy_domains))}"
    return _quarantined(QuarantineReason.NO_TOKEN, detail)


def _not_by_mail() -> Decision:
    detail = "posted by HTTPS, which shows nothing of who sent it; such reports come by mail only"
    return _quarantined(QuarantineReason.NOT_BY_MAIL, detail)


def _quarantined(reason: QuarantineReason, detail: str) -> Decision:
    return Decision(verdict=Verdict.QUARANTINED, reason=reason, detail=detail)
