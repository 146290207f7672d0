"""Mails as real reporters write and sign them are believed, whatever they do not sign."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from court import DAY, EVERYTHING, GOOGLE, VICTIM, WITHOUT_REPORT_FIELDS, Court, court_of, field_lines, report

if TYPE_CHECKING:
    from collector.dkim.verifier import DkimVerifier

SAMPLES = Path(__file__).parent.parent / "decode/samples"


@pytest.fixture
def court(verifier: DkimVerifier, name_server: Any, rsa_key: Any) -> Court:
    return court_of(verifier, name_server, rsa_key, VICTIM, "example.com", "example.net")


def _attached(content: bytes) -> bytes:
    return base64.encodebytes(gzip.compress(content)).replace(b"\n", b"\r\n")


def _google() -> tuple[bytes, str, tuple[bytes, ...]]:
    name = f"google.com!{VICTIM}!1795392000!1795478399!001.json.gz"
    head = field_lines(
        Date="Tue, 24 Nov 2026 03:53:20 -0700",
        TLS_Report_Domain=VICTIM,
        TLS_Report_Submitter="google.com",
        Message_ID="<66d83c20.050a0220.a0566.1e8dtls@google.com>",
        Subject=f"Report Domain: {VICTIM} Submitter: google.com Report-ID: <2026.11.23T00.00.00Z+{VICTIM}@google.com>",
        From="noreply-smtp-tls-reporting@google.com",
        To=f"tlsrpt@{VICTIM}",
        Content_Type='multipart/report; boundary="0000000000007877ce062148fba9"; report-type=tlsrpt',
        MIME_Version="1.0",
    )
    body = (
        b"--0000000000007877ce062148fba9\r\n"
        b'Content-Type: text/plain; charset="UTF-8"; format=flowed; delsp=yes\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"\r\nThis is an aggregate TLS report from google.com\r\n\r\n"
        b"--0000000000007877ce062148fba9\r\n"
        b'Content-Type: application/tlsrpt+gzip; \r\n\tname="%b"\r\n'
        b'Content-Disposition: attachment; \r\n\tfilename="%b"\r\nContent-Transfer-Encoding: base64\r\n\r\n%b\r\n'
        b"--0000000000007877ce062148fba9--\r\n"
    )
    content = report(organization="Google Inc.", contact="smtp-tls-reporting@google.com")
    return head + b"\r\n" + body % (name.encode(), name.encode(), _attached(content)), "google.com", GOOGLE


def _microsoft() -> tuple[bytes, str, tuple[bytes, ...]]:
    name = f"microsoft.com!{VICTIM}!1795392000!1795478399!133847562019283746.json.gz"
    head = field_lines(
        From="tlsrpt-noreply@microsoft.com",
        To=f"tlsrpt@{VICTIM}",
        Subject=f"Report Domain: {VICTIM} Submitter: microsoft.com Report-ID: 133847562019283746+",
        Message_ID=f"<a@{VICTIM}>",
        Date="Tue, 24 Nov 2026 10:00:00 +0000",
        MIME_Version="1.0",
        Content_Type='multipart/report; report-type=tlsrpt; boundary="=-lpGUpRq=="',
        TLS_Report_Domain=VICTIM,
        TLS_Report_Submitter="microsoft.com",
    )
    body = (
        b"--=-lpGUpRq==\r\nContent-Type: text/plain\r\n\r\nThis is an aggregate report\r\n"
        b"--=-lpGUpRq==\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="%b"\r\n\r\n%b--=-lpGUpRq==--\r\n'
    )
    content = report(organization="Microsoft Corporation", contact="tlsrpt-noreply@microsoft.com")
    signed = (b"from", b"date", b"subject", b"message-id", b"content-type", b"mime-version", b"x-ms-exchange-sender")
    return head + b"\r\n" + body % (name.encode(), _attached(content)), "microsoft.com", signed


def _postfix() -> tuple[bytes, str, tuple[bytes, ...]]:
    """tlsrpt-reporter, which leaves the policy domain out where it found no policy; OpenDKIM signs what it knows."""
    name = f"reporter.example!{VICTIM}!1795392000!1795478399!idx1.json.gz"
    head = (
        b"Subject: Report Domain: %b\r\n Submitter: reporter.example\r\n Report-ID: <%b@reporter.example>\r\n"
        % (VICTIM.encode(), f"{DAY}T00:00:00Z_idx1_{VICTIM}".encode())
    ) + field_lines(
        From="noreply-smtp-tls-reporting@mx.reporter.example",
        To=f"tlsrpt@{VICTIM}",
        TLS_Report_Domain=VICTIM,
        TLS_Report_Submitter="reporter.example",
        MIME_Version="1.0",
        Content_Type='multipart/report; report-type="tlsrpt"; boundary="===============7331=="',
    )
    body = (
        b'--===============7331==\r\nContent-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n\r\nThis is an aggregate TLS report from reporter.example\r\n\r\n"
        b"--===============7331==\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="%b"\r\nMIME-Version: 1.0\r\n\r\n%b\r\n'
        b"--===============7331==--\r\n"
    )
    content = report(None, organization="reporter.example", contact="postmaster@elsewhere.example")
    return head + b"\r\n" + body % (name.encode(), _attached(content)), "reporter.example", WITHOUT_REPORT_FIELDS


def _stalwart() -> tuple[bytes, str, tuple[bytes, ...]]:
    """Signs From, To, Date, Subject and Message-ID; its submitter is its host, which may be of another domain."""
    name = f"reporter.example!{VICTIM}!1795392000!1795478399.json.gz"
    boundary = b"17f1a2b3c4d5e6f7_1a2b3c4d5e6f7a8b_c9d0e1f2a3b4c5d6"
    head = field_lines(
        From='"Report Subsystem" <noreply-tls@reporter.example>',
        To=f"<tlsrpt@{VICTIM}>",
        Auto_Submitted="auto-generated",
        Date="Tue, 24 Nov 2026 00:00:00 +0000",
        Subject=f"Report Domain: {VICTIM} Submitter: mail.host.example Report-ID: <1795392000.1@reporter.example>",
        TLS_Report_Domain=VICTIM,
        TLS_Report_Submitter="mail.host.example",
        MIME_Version="1.0",
        Message_ID="<1@mail.host.example>",
        Content_Type=f'multipart/report; report-type="tlsrpt";\r\n\tboundary="{boundary.decode()}"',
    )
    body = (
        b'\r\n--%b\r\nContent-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n\r\nTLS report.\r\n"
        b'\r\n--%b\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Disposition: attachment; filename="%b"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n%b\r\n--%b--\r\n"
    )
    content = report(organization="Reporter", contact="tls@reporter.example")
    signed = (b"from", b"to", b"date", b"subject", b"message-id")
    text = body % (boundary, boundary, name.encode(), _attached(content), boundary)
    return head + b"\r\n" + text, "reporter.example", signed


def _mox() -> tuple[bytes, str, tuple[bytes, ...]]:
    name = f"reporter.example!{VICTIM}!20261123000000!20261123235959.json.gz"
    head = field_lines(
        From="<noreply@mx.reporter.example>",
        To=f"<tlsrpt@{VICTIM}>",
        Subject=f"Report Domain: {VICTIM} Submitter: reporter.example Report-ID: <20261123.{VICTIM}@reporter.example>",
        TLS_Report_Domain=VICTIM,
        TLS_Report_Submitter="reporter.example",
        TLS_Required="No",
        Message_Id="<1@mx.reporter.example>",
        Date="24 Nov 2026 00:10:00 +0000",
        User_Agent="mox/v0.0.15",
        MIME_Version="1.0",
        Content_Type='multipart/report; report-type="tlsrpt"; boundary="4a5b6c7d8e9f"',
    )
    body = (
        b"--4a5b6c7d8e9f\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        b"Attached is a TLS report.\r\n\r\n"
        b"--4a5b6c7d8e9f\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: attachment;\r\n\tfilename=%b\r\n\r\n%b\r\n--4a5b6c7d8e9f--\r\n"
    )
    content = report(organization="reporter.example", contact="postmaster@mx.reporter.example")
    signed = (
        *(b"from", b"to", b"cc", b"reply-to", b"references", b"in-reply-to", b"subject", b"date"),
        *(b"message-id", b"content-type", b"tls-report-domain", b"tls-report-submitter", b"from", b"subject"),
    )
    return head + b"\r\n" + body % (name.encode(), _attached(content)), "mx.reporter.example", signed


REPORTERS = {
    "google.com": _google,
    "microsoft.com": _microsoft,
    "tlsrpt-reporter": _postfix,
    "stalwart": _stalwart,
    "mox": _mox,
}


@pytest.mark.parametrize("reporter", REPORTERS)
def test_mail_as_a_real_reporter_signs_it_is_believed(court: Court, reporter: str) -> None:
    mail, signer, fields = REPORTERS[reporter]()
    row = court.accepted(court.sign(mail, signer, fields))
    assert (row.policy_domains, row.dkim_domain, row.failed_sessions) == ((VICTIM,), signer, 5)
    assert (row.reporter, row.reporter_proven) == (reporter if "." in reporter else "reporter.example", True)
    assert row.warnings == ()


@pytest.mark.parametrize("form", [(b"relaxed", b"simple"), (b"simple", b"simple"), (b"simple", b"relaxed")])
@pytest.mark.parametrize("reporter", REPORTERS)
def test_canonicalization_makes_no_difference(court: Court, reporter: str, form: tuple[bytes, bytes]) -> None:
    mail, signer, fields = REPORTERS[reporter]()
    usual = court.accepted(court.sign(mail, signer, fields))
    assert court.accepted(court.sign(mail, signer, fields, form=form))._replace(received_at=usual.received_at) == usual


@pytest.mark.parametrize("reporter", REPORTERS)
def test_lines_that_a_mailbox_ends_by_lf_alone_make_no_difference(court: Court, reporter: str) -> None:
    mail, signer, fields = REPORTERS[reporter]()
    court.accepted(court.sign(mail, signer, fields).replace(b"\r\n", b"\n"))


@pytest.mark.parametrize(
    "sample",
    sorted(path.name for path in SAMPLES.glob("*.eml")),
)
def test_samples_are_believed_if_their_sender_signs_them(court: Court, sample: str) -> None:
    mail = (SAMPLES / sample).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    signed = court.sign(mail, "sender.example", EVERYTHING)
    if sample in NOT_A_SIGNED_REPORT:
        assert court.refused(signed) == "unclear"
    else:
        assert court.accepted(signed).reporter == "sender.example"


# The first is damaged by a gateway, so that its signature does not hold; the other says nowhere that it is a report.
NOT_A_SIGNED_REPORT = frozenset(("footer_inside_base64.eml", "whole_mail_is_json_without_mime.eml"))
