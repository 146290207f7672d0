"""Whom to believe: senders as they are, and forgers as they would be."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collector.alignment import author_domains, same_organization
from collector.dkim.verifier import Outcome, Proof
from collector.trust import Decision, DkimResult, Verdict, decide_trust, needs_dkim, proof_of
from mailposture.config.model import Authentication
from reports.envelope import Envelope, Source, Trust
from reports.kind import Claim
from reports.rejection import QuarantineReason

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _mail(**more: Any) -> Envelope:
    return Envelope(**{"source": Source.SMTP, "received_at": NOW, **more})


def _signed(domain: str = "example.net", **fields: str) -> DkimResult:
    signed = {name.replace("_", "-").encode(): (value.encode(),) for name, value in fields.items()}
    proof = Proof(domain=domain, fields=signed, body=b"")
    return DkimResult(outcome=Outcome.PASS, arrived_at=NOW, proofs=(proof,))


def _unproven(outcome: Outcome, detail: str = "why") -> DkimResult:
    return DkimResult(outcome=outcome, arrived_at=NOW, detail=detail)


def _decide(
    dkim: DkimResult | None,
    *,
    envelope: Envelope | None = None,
    unclear: str = "",
    submitter: str = "",
    policy_domains: tuple[str, ...] = ("example.com",),
    posted: bool = True,
    rules: Authentication | None = None,
    now: datetime = NOW,
) -> Decision:
    return decide_trust(
        envelope or _mail(),
        dkim=dkim,
        unclear=unclear,
        claim=Claim(submitter, "TLS-Report-Submitter") if submitter else None,
        policy_domains=policy_domains,
        posted=posted,
        key_service="tlsrpt",
        rules=rules or Authentication(),
        now=now,
    )


@pytest.mark.parametrize(
    ("submitter", "signer"),
    [
        ("google.com", "google.com"),
        ("example.net", "mx.example.net"),
        ("mail.example.net", "example.net"),
        ("mail.ru", "corp.mail.ru"),
        ("", "example.net"),
    ],
)
def test_signature_of_the_reporting_organization_is_believed(submitter: str, signer: str) -> None:
    decision = _decide(_signed(signer), submitter=submitter)
    assert decision == Decision(verdict=Verdict.ACCEPTED, trust=Trust.DKIM, dkim_domain=signer)


@pytest.mark.parametrize("submitter", ["google.com", "attacker.co.uk", "co.uk", "net"])
def test_signed_submitter_of_another_organization_is_quarantined(submitter: str) -> None:
    decision = _decide(_signed("attacker.example"), submitter=submitter)
    assert (decision.verdict, decision.reason) == (Verdict.QUARANTINED, QuarantineReason.NOT_ALIGNED)
    assert decision.detail == f"TLS-Report-Submitter says {submitter}, but the mail is signed by attacker.example"


@pytest.mark.parametrize(
    ("domain", "other", "same"),
    [
        ("example.net", "example.net", True),
        ("mx.example.net", "tls.example.net", True),
        ("example.net", "example.org", False),
        ("evil-example.net", "example.net", False),
        ("a.co.uk", "b.co.uk", False),
        ("co.uk", "a.co.uk", False),
        ("co.uk", "co.uk", True),
        ("a.github.io", "b.github.io", False),
    ],
)
def test_organizations_are_those_of_the_public_suffix_list(domain: str, other: str, *, same: bool) -> None:
    assert same_organization(domain, other) is same


@pytest.mark.parametrize(
    ("field", "domains"),
    [
        (b" TLS reports <tls@mx.example.net>", ("mx.example.net",)),
        (b"tls@example.net", ("example.net",)),
        (b'"tls@google.com" <tls@attacker.example>', ("attacker.example",)),
        (b"tls@google.com, tls@attacker.example", ("google.com", "attacker.example")),
        (b"A\r\n <tls@example.net>", ("example.net",)),
        (b"undisclosed", ()),
        (b"tls@google.com, undisclosed", ("google.com",)),
        (b"Reporter, Inc. <tls@example.net>", ("example.net",)),
        (b"tls@google.com, tls@[192.0.2.1]", ()),
        (b"", ()),
    ],
)
def test_author_is_who_all_addresses_of_from_are(field: bytes, domains: tuple[str, ...]) -> None:
    assert author_domains([field]) == domains


def test_of_several_proofs_the_one_counts_that_says_how_the_body_is_to_be_read() -> None:
    first, second = _signed("a.example.net"), _signed("b.example.net", content_type="text/plain")
    both = DkimResult(outcome=Outcome.PASS, arrived_at=NOW, proofs=first.proofs + second.proofs)
    assert proof_of(both) is second.proofs[0]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.FAIL, QuarantineReason.INVALID),
        (Outcome.NONE, QuarantineReason.NO_SIGNATURE),
        (Outcome.NOT_ALIGNED, QuarantineReason.NOT_ALIGNED),
    ],
)
def test_mail_without_proof_is_quarantined_with_its_reason(outcome: Outcome, reason: QuarantineReason) -> None:
    decision = _decide(_unproven(outcome, "it was changed on the way"))
    assert (decision.verdict, decision.reason, decision.detail) == (
        Verdict.QUARANTINED,
        reason,
        "it was changed on the way",
    )


def test_proof_that_can_be_read_in_two_ways_is_quarantined_with_its_reason() -> None:
    decision = _decide(_signed(), unclear="two boundaries")
    assert (decision.verdict, decision.reason, decision.detail) == (
        Verdict.QUARANTINED,
        QuarantineReason.UNCLEAR,
        "two boundaries",
    )


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(Outcome.TEMPERROR, QuarantineReason.DNS_FAILURE), (Outcome.EARLY, QuarantineReason.EARLY)],
)
def test_what_may_yet_be_proven_is_retried_until_we_give_up(outcome: Outcome, reason: QuarantineReason) -> None:
    rules = Authentication(dns_give_up=timedelta(days=2))
    early = _decide(_unproven(outcome), rules=rules, now=NOW + timedelta(hours=47))
    late = _decide(_unproven(outcome), rules=rules, now=NOW + timedelta(hours=49))
    assert (early.verdict, early.trust) == (Verdict.DEFERRED, Trust.NONE)
    assert (late.verdict, late.reason) == (Verdict.QUARANTINED, reason)


def test_a_trusted_mailbox_is_believed_as_such() -> None:
    envelope = _mail(source=Source.IMAP, from_trusted_mailbox=True)
    assert not needs_dkim(envelope)
    assert _decide(None, envelope=envelope).trust is Trust.MAILBOX


def test_imports_are_accepted_by_the_operator() -> None:
    envelope = _mail(source=Source.FILE, by_operator=True)
    assert not needs_dkim(envelope)
    assert _decide(None, envelope=envelope).trust is Trust.OPERATOR


def test_secret_path_is_accepted_for_its_own_domain_only() -> None:
    envelope = _mail(source=Source.HTTPS, token_domain="example.com")
    assert not needs_dkim(envelope)
    assert _decide(None, envelope=envelope).trust is Trust.TOKEN
    other = _decide(None, envelope=envelope, policy_domains=("example.com", "example.org"))
    assert (other.verdict, other.detail) == (
        Verdict.QUARANTINED,
        "posted to the secret path of example.com, but about example.com, example.org",
    )


def test_a_post_proves_nothing_where_reports_come_by_mail_only() -> None:
    envelope = _mail(source=Source.HTTPS, token_domain="example.com")
    posted = _decide(None, envelope=envelope, posted=False)
    assert (posted.verdict, posted.reason) == (Verdict.QUARANTINED, QuarantineReason.NOT_BY_MAIL)
    by_operator = _mail(source=Source.HTTPS, token_domain="example.com", by_operator=True)
    assert _decide(None, envelope=by_operator, posted=False).trust is Trust.OPERATOR, "released from quarantine"


def test_post_without_secret_path_is_quarantined() -> None:
    assert _decide(None, envelope=_mail(source=Source.HTTPS)).verdict is Verdict.QUARANTINED


@pytest.mark.parametrize("source", [each for each in Source if each.is_mail])
def test_mail_needs_a_signature(source: Source) -> None:
    assert needs_dkim(_mail(source=source))
    assert not needs_dkim(_mail(source=source, by_operator=True))


def test_the_guide_explains_each_reason_of_quarantine() -> None:
    guide = (Path(__file__).parents[2] / "docs/receiving.md").read_text()
    first_cells = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| `")]
    explained = {word for cell in first_cells for word in re.findall(r"`([a-z-]+)`", cell)}
    assert {reason.value for reason in QuarantineReason} <= explained
