"""DMARC reports by mail: believed for what a signature aligned with From proves, however real reporters wrap them."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from court import EVERYTHING, VICTIM, Court, body, court_of, field_lines, mail, report
from dmarc_samples import METADATA, POLICY, feedback

from collector.ingest.judge import Deferred, Rejected
from reports.envelope import Source
from reports.rejection import Reason

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

GOOGLE = (b"to", b"from", b"subject", b"message-id", b"date", b"mime-version")  # neither Content-Type nor encoding
SUBJECT = f"Report Domain: {VICTIM} Submitter: reporter.example Report-ID: <1>"
FILE_NAME = f"reporter.example!{VICTIM}!1772409600!1772495999"
XML = feedback(policy=POLICY.replace("example.com", VICTIM))


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key)


def zipped(content: bytes = XML) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{FILE_NAME}.xml", content)
    return made.getvalue()


def alone(content: bytes, *, media_type: str = "application/zip") -> bytes:
    """A mail that is the archive itself, as Google sends it."""
    name = f"{FILE_NAME}.zip"
    head = field_lines(
        From="noreply@reporter.example",
        To=f"dmarc@{VICTIM}",
        Subject=SUBJECT,
        MIME_Version="1.0",
        Content_Type=f'{media_type}; name="{name}"',
        Content_Disposition=f'attachment; filename="{name}"',
        Content_Transfer_Encoding="base64",
    )
    return head + b"\r\n" + base64.encodebytes(content).replace(b"\n", b"\r\n")


def attached(
    content: bytes,
    *,
    author: str = "noreply@reporter.example",
    subject: str = SUBJECT,
    media_type: str = "application/gzip",
    name: str = f"{FILE_NAME}.xml.gz",
) -> bytes:
    return mail(
        author,
        content,
        media_type=media_type,
        name=name,
        top='multipart/mixed; boundary="b0"',
        subject=subject,
    )


def test_a_mail_that_is_an_archive_is_read_though_nobody_signed_how(court: Court) -> None:
    row = court.accepted(court.sign(alone(zipped()), "reporter.example", GOOGLE))
    assert (row.reporter, row.reporter_proven, row.trust) == ("reporter.example", True, "dkim")
    assert row.policy_domains == (VICTIM,)


@pytest.mark.parametrize("media_type", ["text/plain", "application/tlsrpt+json", 'multipart/mixed; boundary="x"'])
def test_what_nobody_signed_changes_nothing(court: Court, media_type: str) -> None:
    row = court.accepted(court.sign(alone(zipped(), media_type=media_type), "reporter.example", GOOGLE))
    assert row.reporter == "reporter.example"


@pytest.mark.parametrize("archive", [zipped(), gzip.compress(XML)], ids=["zip", "gzip"])
def test_an_archive_with_more_behind_it_is_unclear(court: Court, archive: bytes) -> None:
    assert court.refused(court.sign(alone(archive + b"footer"), "reporter.example", GOOGLE)) == "unclear"


def test_an_archive_with_another_behind_it_is_not_believed(court: Court) -> None:
    signed = court.sign(alone(zipped() + b"PK\x05\x06" + bytes(18)), "reporter.example", GOOGLE)
    assert court.refused(signed) in ("unclear", "bad-compression", "no-report")


@pytest.mark.parametrize(
    ("content", "media_type", "name"),
    [
        (gzip.compress(XML), "application/gzip", f"{FILE_NAME}.xml.gz"),
        (gzip.compress(XML), "application/octet-stream", f"{FILE_NAME}!4711.xml.gz"),
        (gzip.compress(XML), "application/zip", f"{FILE_NAME}.xml.gz"),
        (zipped(), "application/x-zip-compressed", f"{FILE_NAME}.zip"),
        (XML, "text/xml", f"{FILE_NAME}.xml"),
    ],
)
@pytest.mark.parametrize("subject", [SUBJECT, "[Preview] " + SUBJECT, "DMARC aggregate report"])
def test_the_usual_shapes_are_believed(court: Court, content: bytes, media_type: str, name: str, subject: str) -> None:
    signed = court.sign(attached(content, media_type=media_type, name=name, subject=subject), "reporter.example")
    assert court.accepted(signed).reporter == "reporter.example"


def test_a_subject_states_a_report_that_is_called_otherwise(court: Court) -> None:
    signed = court.sign(attached(gzip.compress(XML), name="report.gz"), "reporter.example")
    assert court.accepted(signed).reporter == "reporter.example"


@pytest.mark.parametrize("subject", [f"Fwd: {SUBJECT}", f"Re: {SUBJECT}", "look at this"])
def test_what_neither_subject_nor_file_name_calls_a_report_is_none(court: Court, subject: str) -> None:
    signed = court.sign(attached(gzip.compress(XML), name="report.gz", subject=subject), "reporter.example")
    assert court.refused(signed) == "unclear"


@pytest.mark.parametrize(
    "prefix", ["Fwd: ", "FW: ", "Re: ", "AW: ", "RE[2]: ", "WG: ", "[dmarc-list] Re: ", "re :", " Tr: ", "Fwd: Fwd: "]
)
@pytest.mark.parametrize("fields", [GOOGLE, EVERYTHING])
def test_a_report_that_somebody_passes_on_is_not_his(court: Court, prefix: str, fields: tuple[bytes, ...]) -> None:
    """Its file keeps its name, and the author's organization signs what its people forward."""
    signed = court.sign(attached(gzip.compress(XML), subject=prefix + SUBJECT), "reporter.example", fields)
    assert court.refused(signed) == "unclear"


def test_a_subject_that_begins_with_the_name_of_a_list_states_no_report(court: Court) -> None:
    listed = attached(gzip.compress(XML), name="report.gz", subject=f"[support] {SUBJECT}")
    assert court.refused(court.sign(listed, "reporter.example")) == "unclear"


def test_a_report_beside_one_about_another_domain_is_read_alone(court: Court) -> None:
    foreign = feedback(policy=POLICY.replace("example.com", "foreign.example"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, content in enumerate((foreign, XML, feedback())):
            archive.writestr(f"reporter.example!{VICTIM}!1772409600!1772495999!{number}.xml", content)
    row = court.accepted(court.sign(attached(made.getvalue(), name=f"{FILE_NAME}.zip"), "reporter.example"))
    assert (row.policy_domains, row.reporter) == ((VICTIM,), "reporter.example")


def test_of_two_attachments_only_what_is_called_a_report_is_read(court: Court) -> None:
    """A mail service may add what it likes to a report: each part is a report only if it says so."""
    other = feedback(policy=POLICY.replace("example.com", VICTIM), metadata=METADATA.replace("id-1", "id-2"))
    first, second = (
        attached(gzip.compress(content), name=name, subject="hello")
        for content, name in ((XML, f"{FILE_NAME}.xml.gz"), (other, "other.gz"))
    )
    end = first.rindex(b"--b0--")
    both = first[:end] + second[second.rindex(b"--b0\r\n") :]
    assert court.accepted(court.sign(both, "reporter.example")).report_id == "id-1"


@pytest.mark.parametrize("media_type", ["message/rfc822", "multipart/mixed; boundary=b1"])
def test_a_report_inside_a_bounce_is_not_the_word_of_who_bounces(court: Court, media_type: str) -> None:
    inner = attached(gzip.compress(XML)).replace(b"b0", b"b1")
    head = field_lines(
        From="mailer-daemon@reporter.example",
        Subject=SUBJECT,
        MIME_Version="1.0",
        Content_Type='multipart/report; report-type=delivery-status; boundary="b0"',
    )
    body = f"\r\n--b0\r\nContent-Type: {media_type}\r\n\r\n".encode() + inner + b"\r\n--b0--\r\n"
    for fields in (GOOGLE, EVERYTHING):
        assert court.refused(court.sign(head + body, "reporter.example", fields)) == "unclear"


def test_a_report_without_signature_or_by_another_than_its_author_is_not_believed(court: Court) -> None:
    assert court.refused(attached(gzip.compress(XML))) == "no-signature"
    assert court.refused(court.sign(attached(gzip.compress(XML)), "attacker.example")) == "not-aligned"


def test_key_for_mail_alone_proves_a_dmarc_report_and_no_tls_report(court: Court) -> None:
    """RFC 8460, section 3 asks for a key for TLS reports; RFC 9990 does not."""
    dmarc, tls = attached(gzip.compress(XML)), mail("a@reporter.example", report(contact="tls@reporter.example"))
    signed = [court.sign(each, "reporter.example") for each in (dmarc, tls)]
    court.name_server.records["s1._domainkey.reporter.example"] = [court.key.record + b"; s=email"]
    assert court.accepted(signed[0]).trust == "dkim"
    assert court.refused(signed[1]) == "invalid"


def test_who_reports_is_the_author_whatever_the_report_says(court: Court) -> None:
    claims = feedback(
        policy=POLICY.replace("example.com", VICTIM), metadata=METADATA.replace("Receiver Example", "google.com")
    )
    signed = court.sign(attached(gzip.compress(claims), author="a@attacker.example"), "attacker.example")
    row = court.accepted(signed)
    assert (row.reporter, row.organization) == ("attacker.example", "google.com")


def test_a_report_about_another_domain_is_not_ours(court: Court) -> None:
    foreign = feedback(policy=POLICY.replace("example.com", "foreign.example"))
    assert court.refused(court.sign(attached(gzip.compress(foreign)), "reporter.example")) == "foreign-domain"


def test_a_policy_of_a_subdomain_counts_for_the_domain_above(court: Court) -> None:
    below = feedback(policy=POLICY.replace("example.com", f"news.{VICTIM}"))
    row = court.accepted(court.sign(attached(gzip.compress(below)), "reporter.example"))
    assert (row.policy_domains, row.published_domain) == ((VICTIM,), f"news.{VICTIM}")  # type: ignore[attr-defined]


def test_what_is_stated_is_what_is_read(court: Court) -> None:
    """A file name of DMARC states no TLS report, and TLS-Report-Domain no DMARC report."""
    name = attached(gzip.compress(report(contact="tls@reporter.example")), subject="hello")
    assert court.refused(court.sign(name, "reporter.example")) == "no-report"
    fields = field_lines(TLS_Report_Domain=VICTIM, TLS_Report_Submitter="reporter.example")
    head = field_lines(
        From="a@reporter.example",
        MIME_Version="1.0",
        Content_Type='multipart/report; report-type=tlsrpt; boundary="b0"',
    )
    both = head + fields + b"\r\n" + body(gzip.compress(XML), media_type="application/tlsrpt+gzip", name="r.gz")
    assert court.refused(court.sign(both, "reporter.example", EVERYTHING)) == "no-report"


def of_period(begin: datetime, end: datetime) -> bytes:
    metadata = METADATA.replace("1772409600", f"{int(begin.timestamp())}").replace(
        "1772495999", f"{int(end.timestamp())}"
    )
    return feedback(policy=POLICY.replace("example.com", VICTIM), metadata=metadata)


def test_a_period_that_ends_far_in_the_future_puts_no_numbers_there(court: Court) -> None:
    now = datetime.now(UTC)
    long = of_period(now - timedelta(hours=1), now + timedelta(days=300))
    signed = court.sign(attached(gzip.compress(long)), "reporter.example")
    assert isinstance(court(signed), Deferred)
    assert court.refused(gzip.compress(long), source=Source.FILE, by_operator=True) == "invalid-field"
    day = of_period(now - timedelta(hours=23), now + timedelta(hours=1))
    court.accepted(court.sign(attached(gzip.compress(day)), "reporter.example"))


def failure_report(media_type: str = "message/feedback-report") -> bytes:
    """A report on a single mail (RFC 9991), with that mail's header."""
    head = field_lines(
        From="noreply@reporter.example",
        Subject="FW: your invoice",
        MIME_Version="1.0",
        Content_Type='multipart/report; report-type=feedback-report; boundary="b0"',
    )
    return (
        head
        + b"\r\n--b0\r\nContent-Type: text/plain\r\n\r\nThis is an authentication failure report.\r\n"
        + f"--b0\r\nContent-Type: {media_type}\r\n\r\nFeedback-Type: auth-failure\r\nVersion: 1\r\n".encode()
        + b"--b0\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@example.com\r\nTo: someone@example.net\r\n\r\nHello\r\n"
        + b"--b0--\r\n"
    )


@pytest.mark.parametrize("media_type", ["message/feedback-report", "Message/Feedback-Report; charset=us-ascii"])
def test_a_report_on_a_single_mail_is_refused_for_the_personal_data_in_it(court: Court, media_type: str) -> None:
    for given, known in (
        (court.sign(failure_report(media_type), "reporter.example"), {}),
        (failure_report(media_type), {"by_operator": True}),
    ):
        verdict = court(given, **known)
        assert isinstance(verdict, Rejected)
        assert verdict.fault.reason is Reason.FAILURE_REPORT
        assert "ruf=" in verdict.fault.detail
        assert "someone" not in verdict.fault.detail
