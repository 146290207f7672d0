"""What counts is when a message was accepted, by us or by the mailbox, and not when it is read."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from court import DAY, VICTIM, Court, court_of, field_lines, mail, report
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from collector.dkim import canonical, signature
from collector.ingest.judge import Accepted, Deferred, Quarantined, Rejected
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier
    from collector.ingest.judge import Judgement

SIGNED_AT = datetime(2024, 3, 2, 10, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key)


@pytest.fixture
def signed(court: Court) -> bytes:
    """A report that is signed for a week, as Google does."""
    return _signed_for(court, mail("tls@reporter.example", report()), WEEK)


def _signed_for(court: Court, plain: bytes, lifetime: timedelta) -> bytes:
    line = court.sign(plain, "reporter.example", (b"from", b"subject", b"content-type"))[: -len(plain)]
    seconds = int(SIGNED_AT.timestamp())
    line = re.sub(rb"t=\d+", b"t=%d; x=%d" % (seconds, seconds + lifetime.total_seconds()), line)
    line = re.sub(rb"b=[A-Za-z0-9+/=\s]+$", b"b=AAAA", line.rstrip()) + b"\r\n"
    read = canonical.read(line + plain)
    one = signature.read(read.fields[b"dkim-signature"][0])
    hashed = signature.signed_header(one, read).hashed
    key: Any = load_pem_private_key(court.key.private, None)
    return line.replace(b"AAAA", base64.b64encode(key.sign(hashed, padding.PKCS1v15(), hashes.SHA256()))) + plain


def _judged(
    court: Court, message: bytes, *, read: timedelta, received: timedelta | None = None, **known: Any
) -> Judgement:
    """Times count from the signature."""
    moment = SIGNED_AT + read
    came = moment if received is None else SIGNED_AT + received
    envelope = Envelope(**{"source": Source.SMTP, "received_at": came, **known})
    return court.judge.judge([(envelope, message)], now=moment)[0]


def test_mailbox_that_is_read_for_the_first_time_loses_nothing(court: Court, signed: bytes) -> None:
    delivered = SIGNED_AT + timedelta(hours=1)
    verdict = _judged(court, signed, read=timedelta(days=30), source=Source.IMAP, delivered_at=delivered)
    assert isinstance(verdict, Accepted)
    assert verdict.reports[0].report.received_at == delivered


def test_spool_that_waits_for_weeks_loses_nothing(court: Court, signed: bytes) -> None:
    verdict = _judged(court, signed, received=timedelta(hours=1), read=timedelta(days=30))
    assert isinstance(verdict, Accepted)
    assert verdict.reports[0].report.received_at == SIGNED_AT + timedelta(hours=1)


def test_replay_of_an_expired_signature_proves_nothing(court: Court, signed: bytes) -> None:
    verdict = _judged(court, signed, read=timedelta(days=8))
    assert isinstance(verdict, Quarantined)
    assert "had expired when the mail came" in verdict.detail


@pytest.mark.parametrize("behind", [timedelta(days=2), timedelta(days=400)])
def test_report_waits_while_our_clock_is_behind_and_is_believed_once_it_is_right(
    court: Court, signed: bytes, behind: timedelta
) -> None:
    assert isinstance(_judged(court, signed, received=-behind, read=-behind), Deferred)
    verdict = _judged(court, signed, received=-behind, read=timedelta(minutes=5))
    assert isinstance(verdict, Accepted)
    assert verdict.reports[0].report.received_at == SIGNED_AT
    later = _judged(court, signed, received=-behind, read=timedelta(days=30))
    assert isinstance(later, Accepted)


def test_signature_of_some_hours_to_come_makes_no_arrival_that_is_yet_to_come(court: Court, signed: bytes) -> None:
    """Else a signer that is first heard of today has a second day of arrival today."""
    came = timedelta(hours=-14)
    assert isinstance(_judged(court, signed, received=came, read=came), Deferred)
    verdict = _judged(court, signed, received=came, read=timedelta(hours=-9))
    assert isinstance(verdict, Accepted)
    assert verdict.reports[0].report.received_at == SIGNED_AT + timedelta(hours=-9)


def test_report_that_came_while_our_clock_was_ahead_is_believed_once_it_is_right(court: Court, signed: bytes) -> None:
    verdict = _judged(court, signed, received=timedelta(days=40), read=timedelta(hours=1))
    assert isinstance(verdict, Accepted)
    assert verdict.reports[0].report.received_at == SIGNED_AT + timedelta(hours=1)


def test_clock_that_never_becomes_right_ends_in_quarantine(court: Court, signed: bytes) -> None:
    verdict = _judged(court, signed, received=timedelta(days=-400), read=timedelta(days=-397))
    assert isinstance(verdict, Quarantined)
    assert (verdict.reason, "is the clock of this machine right?" in verdict.detail) == ("early", True)


def test_post_about_a_day_that_is_yet_to_come_waits_for_our_clock(court: Court) -> None:
    post = {"source": Source.HTTPS, "token_domain": VICTIM}
    behind = timedelta(days=-400)
    assert isinstance(_judged(court, report(), received=behind, read=behind, **post), Deferred)
    assert isinstance(_judged(court, report(), received=behind, read=timedelta(0), **post), Accepted)
    late = _judged(court, report(), received=behind, read=timedelta(days=-390), **post)
    assert isinstance(late, Rejected)
    assert f"about {DAY}, which is in the future" in late.fault.detail


def test_import_of_a_day_that_is_yet_to_come_says_so_at_once(court: Court) -> None:
    verdict = _judged(court, report(), read=timedelta(days=-400), source=Source.FILE, by_operator=True)
    assert isinstance(verdict, Rejected)


@pytest.mark.parametrize(
    ("received", "name", "came"),
    [
        ("from a by b; Sat, 02 Mar 2024 11:00:00 +0000", "a.eml", SIGNED_AT + timedelta(hours=1)),
        ("from a by b; 2 Mar 2024 03:00:00 -0800 (PST)", "a.eml", SIGNED_AT + timedelta(hours=1)),
        ("from a by b; Mon, 02 Mar 2037 11:00:00 +0000", "a.eml", SIGNED_AT + timedelta(days=30)),
        ("from a by b; yesterday", "a.eml", SIGNED_AT + timedelta(days=30)),
        ("nothing", "Mail/cur/1709374200.M1P2.host:2,S", datetime.fromtimestamp(1709374200, UTC)),
        ("nothing", "Mail/new/1709374200.M1P2.host", datetime.fromtimestamp(1709374200, UTC)),
        ("nothing", "Mail/1709374200.eml", SIGNED_AT + timedelta(days=30)),
    ],
)
def test_mail_in_a_file_came_when_its_last_server_says_so(
    court: Court, received: str, name: str, came: datetime
) -> None:
    below = field_lines(Received="from x by y; Fri, 01 Mar 2024 11:00:00 +0000")
    message = field_lines(Received=received) + below + mail("tls@reporter.example", report())
    verdict = _judged(court, message, read=timedelta(days=30), source=Source.FILE, by_operator=True, name=f"/in/{name}")
    assert isinstance(verdict, Accepted)
    assert verdict.reports[0].report.received_at == came
