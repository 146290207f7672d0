"""Whom to believe: senders as they are, and forgers as they would be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector.authenticate import Decision, DkimResult, Outcome, Verdict, decide_trust, needs_dkim
from collector.envelope import Envelope, Source, Trust
from mailposture.config import Authentication, Unverified

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _mail(**more: Any) -> Envelope:
    return Envelope(**{"source": Source.SMTP, "received_at": NOW, **more})


def _signed(*domains: str, author: str = "", unanswered: tuple[str, ...] = (), detail: str = "") -> DkimResult:
    return DkimResult(
        outcome=Outcome.VALID if domains else Outcome.DNS_FAILURE if unanswered else Outcome.INVALID,
        domains=domains,
        unanswered=unanswered,
        author=author,
        detail=detail,
    )


def _decide(
    dkim: DkimResult | None,
    *,
    envelope: Envelope | None = None,
    organization: str = "",
    contact: str = "",
    submitter: str = "",
    policy_domains: tuple[str, ...] = ("example.com",),
    rules: Authentication | None = None,
    now: datetime = NOW,
) -> Decision:
    return decide_trust(
        envelope or _mail(),
        organization=organization,
        contact=contact,
        submitter=submitter,
        policy_domains=policy_domains,
        dkim=dkim,
        rules=rules or Authentication(),
        now=now,
    )


@pytest.mark.parametrize(
    ("organization", "contact", "submitter", "signer"),
    [
        ("Google Inc.", "smtp-tls-reporting@google.com", "google.com", "google.com"),
        ("Microsoft Corporation", "tlsrpt-noreply@microsoft.com", "microsoft.com", "microsoft.com"),
        ("Example Net", "tls-reports@example.net", "example.net", "example.net"),
        ("Example Net", "tls-reports@example.net", "", "mx.example.net"),
        ("mail.ru", "abuse@corp.mail.ru", "mail.ru", "corp.mail.ru"),
        ("mx.example.net", "postmaster@gmail.com", "example.net", "example.net"),
        ("Example Net", "", "mail.example.net", "example.net"),
        ("Example Net", "https://example.net/tls", "example.net", "example.net"),
        ("Example Net", "mailto:tls@example.net", "", "example.net"),
    ],
)
def test_real_senders_are_believed(organization: str, contact: str, submitter: str, signer: str) -> None:
    decision = _decide(_signed("esp.example", signer), organization=organization, contact=contact, submitter=submitter)
    assert decision == Decision(verdict=Verdict.BELIEVE, trust=Trust.DKIM, dkim_domain=signer)


def test_author_counts_when_nothing_else_names_the_reporter() -> None:
    dkim = _signed("example.net", author=" TLS reports <tls@mx.example.net>")
    assert _decide(dkim, organization="Example Net").trust is Trust.DKIM


@pytest.mark.parametrize(
    ("organization", "contact", "submitter"),
    [
        ("Google Inc.", "smtp-tls-reporting@google.com", "google.com"),
        ("Google Inc.", "smtp-tls-reporting@google.com", "attacker.example"),
        ("Google Inc.", "abuse@attacker.example", "attacker.example"),
        ("GOOGLE", "", "attacker.example"),
        ("google.com", "abuse@attacker.example", "attacker.example"),
        ("Example Net", "tls@attacker.example, tls@example.net", "attacker.example"),
        ("Example Net", "tls@com", "com"),
        ("Example Net", "", ""),
        ("co.uk", "postmaster@victim.co.uk", ""),
    ],
)
def test_signature_of_another_domain_proves_nothing(organization: str, contact: str, submitter: str) -> None:
    dkim = _signed("attacker.example", "attacker.co.uk")
    decision = _decide(dkim, organization=organization, contact=contact, submitter=submitter)
    assert (decision.verdict, decision.trust) == (Verdict.QUARANTINE, Trust.NONE)
    assert "but is signed by attacker.example, attacker.co.uk" in decision.reason


def test_quarantine_names_the_field_that_claims() -> None:
    decision = _decide(_signed("attacker.example"), organization="Google Inc.", contact="tls@google.com")
    assert decision.reason == (
        "the report claims to be from google.com (organization-name), but is signed by attacker.example"
    )


def test_broken_signature_is_quarantined_with_its_reason() -> None:
    detail = "DKIM signature of example.net does not match the body: it was changed on the way"
    decision = _decide(_signed(detail=detail), contact="tls@example.net")
    assert (decision.verdict, decision.reason) == (Verdict.QUARANTINE, detail)


def test_dns_failure_is_retried_until_we_give_up() -> None:
    dkim = _signed(unanswered=("example.net",), detail="DNS does not answer")
    rules = Authentication(dns_give_up=timedelta(days=2))
    early = _decide(dkim, contact="tls@example.net", rules=rules, now=NOW + timedelta(hours=47))
    late = _decide(dkim, contact="tls@example.net", rules=rules, now=NOW + timedelta(hours=49))
    assert (early.verdict, early.trust) == (Verdict.RETRY, Trust.NONE)
    assert (late.verdict, late.reason) == (Verdict.QUARANTINE, "DNS does not answer")


def test_dns_failure_of_a_signature_that_could_prove_nothing_is_not_waited_for() -> None:
    dkim = _signed("attacker.example", unanswered=("slow.example",))
    assert _decide(dkim, contact="tls@example.net").verdict is Verdict.QUARANTINE


def test_configuration_may_accept_what_is_unproven_and_it_stays_marked() -> None:
    rules = Authentication(unverified=Unverified.ACCEPT)
    decision = _decide(_signed(detail="no key"), contact="tls@example.net", rules=rules)
    assert decision == Decision(verdict=Verdict.BELIEVE, trust=Trust.NONE, reason="no key")


def test_a_trusted_mailbox_is_believed_as_such() -> None:
    envelope = _mail(source=Source.IMAP, from_trusted_mailbox=True)
    assert not needs_dkim(envelope)
    assert _decide(None, envelope=envelope).trust is Trust.MAILBOX


def test_operator_vouches_for_imports() -> None:
    envelope = _mail(source=Source.FILE, vouched=True)
    assert not needs_dkim(envelope)
    assert _decide(None, envelope=envelope).trust is Trust.OPERATOR


def test_secret_path_vouches_for_its_own_domain_only() -> None:
    envelope = _mail(source=Source.HTTPS, token_domain="example.com")
    assert not needs_dkim(envelope)
    assert _decide(None, envelope=envelope).trust is Trust.TOKEN
    other = _decide(None, envelope=envelope, policy_domains=("example.com", "example.org"))
    assert (other.verdict, other.reason) == (
        Verdict.QUARANTINE,
        "posted to the secret path of example.com, but about example.com, example.org",
    )


def test_post_without_secret_path_is_quarantined() -> None:
    assert _decide(None, envelope=_mail(source=Source.HTTPS)).verdict is Verdict.QUARANTINE


@pytest.mark.parametrize("source", [Source.SMTP, Source.LMTP, Source.IMAP])
def test_mail_needs_a_signature(source: Source) -> None:
    assert needs_dkim(_mail(source=source))
    assert not needs_dkim(_mail(source=source, vouched=True))
