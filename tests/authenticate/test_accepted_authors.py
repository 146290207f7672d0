"""DMARC reports of domains that an operator accepts by their From field: taken in, and nobody's word."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from court import VICTIM, Court, court_of, mail, report
from dmarc_samples import POLICY, feedback

from reports.envelope import Source

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

SENDER = "noreply@reporter.example"
XML = feedback(policy=POLICY.replace("example.com", VICTIM))


def attached(author: str = SENDER, **more: Any) -> bytes:
    return mail(
        author,
        gzip.compress(XML, mtime=0),
        media_type="application/gzip",
        name=f"reporter.example!{VICTIM}!1772409600!1772495999.xml.gz",
        top='multipart/mixed; boundary="b0"',
        **more,
    )


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    made = court_of(verifier, name_server, rsa_key)
    made.judge._rules = made.judge._rules.model_copy(update={"accepted_authors": ("reporter.example",)})
    return made


@pytest.mark.parametrize("author", [SENDER, "DMARC <a@Mail.Reporter.EXAMPLE>"])
@pytest.mark.parametrize("source", [Source.SMTP, Source.LMTP, Source.IMAP])
def test_reports_of_an_accepted_author_are_taken_in_unproven(court: Court, author: str, source: Source) -> None:
    row = court.accepted(attached(author), source=source)
    assert (row.trust, row.reporter_proven, row.dkim_domain, row.version) == ("author", False, "", 1)


@pytest.mark.parametrize(
    "author",
    [
        "a@other.example",
        "a@notreporter.example",
        "a@reporter.example.attacker.test",
        f"a@other.example, {SENDER}",
        f'"{SENDER}" <a@other.example>',
        "nobody",
    ],
)
def test_reports_of_others_wait_as_before(court: Court, author: str) -> None:
    assert court.refused(attached(author)) == "no-signature"


def test_several_from_fields_are_no_author(court: Court) -> None:
    assert court.refused(b"From: a@other.example\r\n" + attached()) == "invalid"


def test_signature_still_proves_and_what_it_leaves_unclear_still_waits(court: Court) -> None:
    assert court.accepted(court.sign(attached(), "reporter.example")).trust == "dkim"
    assert court.accepted(court.sign(attached(), "vendor.example")).trust == "author"
    forwarded = court.sign(attached(subject=f"Fwd: Report Domain: {VICTIM}"), "reporter.example")
    assert court.refused(forwarded) == "unclear"


def test_tls_reports_need_a_signature(court: Court) -> None:
    assert court.refused(mail(SENDER, report(contact="tls@reporter.example"))) == "no-signature"
