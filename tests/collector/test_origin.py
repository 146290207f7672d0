"""Whom a message counts for while nothing authenticates it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from collector.origin import origin_of
from collector.spool import Origin
from reports.envelope import Envelope, Source


def mail(author: str) -> bytes:
    return f"Received: from x\r\nFrom: {author}\r\nTo: a@ours.example\r\n\r\nFrom: b@body.example\r\n".encode()


def arrived(source: Source = Source.SMTP, *, peer: str = "192.0.2.1", name: str = "") -> Envelope:
    return Envelope(source=source, received_at=datetime(2026, 11, 24, tzinfo=UTC), peer=peer, name=name)


@pytest.mark.parametrize(
    ("author", "claim"),
    [
        ("tls@reporter.com", "reporter.com"),
        ("TLS reports <tls@mail.Reporter.com>", "reporter.com"),
        ("\r\n Reports,\r\n\tof us <tls@a.b.reporter.co.uk>", "reporter.co.uk"),
        ('"x@first.example" <a@second.example>', "second.example"),
        ("tls@co.uk", "co.uk"),
        ("tls@bücher.example", ""),
        ("nobody", ""),
        ("", ""),
    ],
)
def test_mail_counts_for_its_client_and_for_the_organization_it_claims(author: str, claim: str) -> None:
    assert origin_of(arrived(), mail(author)) == Origin("192.0.2.1", claim)


def test_a_client_has_its_whole_site_and_a_mailbox_is_one_client() -> None:
    one, other = (origin_of(arrived(peer=f"2001:db8:0:{host}::1"), b"") for host in ("1", "ffff"))
    assert one == other == Origin("2001:db8::/48")
    first, second = (
        origin_of(arrived(Source.IMAP, peer="", name=f"tls at mail.example, INBOX UID {uid}"), b"") for uid in (1, 2)
    )
    assert first == second == Origin("tls at mail.example, INBOX")


def test_a_valid_signature_counts_for_its_organization_and_there_for_who_delivered_it() -> None:
    origin = origin_of(arrived(), mail("tls@reporter.com"), signers=("mail.evil.com", "other.example"))
    assert origin == Origin("evil.com", "192.0.2.1", signed=True)


def test_a_post_claims_nothing() -> None:
    assert origin_of(arrived(Source.HTTPS), mail("tls@reporter.com")) == Origin("192.0.2.1")
