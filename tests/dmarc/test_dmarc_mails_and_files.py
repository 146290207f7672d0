"""The shapes in which real reports are wrapped, a test per quirk: what something is, its bytes show, not its labels."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile

import pytest
from dmarc_samples import METADATA, feedback

from collector.documents.message import open_message
from collector.documents.recognize import report_in
from reports.reading import read_reports
from reports.rejection import Reason, RejectedError

NAME = "reporter.example!example.com!1772409600!1772495999"
SUBJECT = "Report Domain: example.com Submitter: reporter.example Report-ID: <1>"
XML = feedback()
OTHER = feedback(metadata=METADATA.replace("id-1", "id-2"))


def zipped(*contents: bytes, suffix: str = ".xml") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{NAME}!{number}{suffix}", content)
    return made.getvalue()


def part(content: bytes, *lines: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (*lines, "Content-Transfer-Encoding: base64"))
    return head.encode() + b"\r\n" + base64.encodebytes(content).replace(b"\n", b"\r\n")


def mail(*parts: bytes, subject: str = SUBJECT) -> bytes:
    """One part is the whole body; several are a multipart/mixed."""
    lines = ("From: noreply@reporter.example", "To: dmarc@example.com", f"Subject: {subject}", "MIME-Version: 1.0", "")
    head = "\r\n".join(lines).encode()
    if len(parts) == 1:
        return head + parts[0]
    body = b"".join(b"--b0\r\n" + each + b"\r\n" for each in parts)
    return head + b'Content-Type: multipart/mixed; boundary="b0"\r\n\r\n' + body + b"--b0--\r\n"


def typed(media_type: str, name: str) -> tuple[str, str]:
    return f'Content-Type: {media_type}; name="{name}"', f'Content-Disposition: attachment; filename="{name}"'


def report_ids(content: bytes) -> list[str]:
    found = read_reports(open_message(content))
    assert not found.faults
    return sorted(report.report_id for _, report in found.reports)


TEXT = b"Content-Type: text/plain\r\n\r\nA DMARC report is attached.\r\n"
GZ, ZIP = gzip.compress(XML), zipped(XML)
MAILS = {
    "the whole mail is a zip": mail(part(ZIP, *typed("application/zip", f"{NAME}.zip"))),
    "gzip typed as zip": mail(TEXT, part(GZ, *typed("application/zip", f"{NAME}.zip"))),
    "zip typed as gzip": mail(TEXT, part(ZIP, *typed("application/gzip", f"{NAME}.xml.gz"))),
    "octet-stream": mail(TEXT, part(GZ, *typed("application/octet-stream", f"{NAME}.xml.gz"))),
    "x-gzip": mail(TEXT, part(GZ, *typed("application/x-gzip", f"{NAME}.xml.gz"))),
    "plain text/xml": mail(TEXT, part(XML, *typed("text/xml", f"{NAME}.xml"))),
    "ContentType without its hyphen": mail(
        TEXT,
        part(
            GZ,
            f"ContentType: application/gzip; name={NAME}.xml.gz",
            f"Content-Disposition: attachment; filename={NAME}.xml.gz",
        ),
    ),
    "a file name by RFC 2231": mail(
        TEXT,
        part(
            GZ,
            "Content-Type: application/gzip",
            f"Content-Disposition: attachment;\r\n filename*0={NAME[:40]};\r\n filename*1={NAME[40:]}.xml.gz",
        ),
    ),
    "a mail in a mail": mail(
        TEXT,
        b"Content-Type: message/rfc822\r\n\r\n" + mail(TEXT, part(GZ, *typed("application/gzip", f"{NAME}.xml.gz"))),
    ),
    "gzip in a zip": mail(TEXT, part(zipped(GZ, suffix=".xml.gz"), *typed("application/zip", f"{NAME}.zip"))),
    "NULs after the gzip": mail(TEXT, part(GZ + bytes(512), *typed("application/gzip", f"{NAME}.xml.gz"))),
}


@pytest.mark.parametrize("shape", MAILS)
def test_a_mail_is_read_by_what_it_contains(shape: str) -> None:
    assert report_in(MAILS[shape]) == "dmarc"
    assert report_ids(MAILS[shape]) == ["id-1"]


@pytest.mark.parametrize(
    "content", [XML, GZ, ZIP, zipped(GZ, suffix=".xml.gz")], ids=["xml", "gzip", "zip", "gzip in zip"]
)
def test_a_file_is_read_by_what_it_contains(content: bytes) -> None:
    assert report_ids(content) == ["id-1"]


@pytest.mark.parametrize(
    "content",
    [
        zipped(XML, OTHER),
        mail(TEXT, *(part(gzip.compress(each), *typed("application/gzip", f"{NAME}.xml.gz")) for each in (XML, OTHER))),
    ],
    ids=["in a zip", "in a mail"],
)
def test_two_reports_are_two(content: bytes) -> None:
    assert report_ids(content) == ["id-1", "id-2"]


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (gzip.compress(b"unused"), "'unused'"),  # as Yahoo sent them for some days in May 2023
        (b"<!DOCTYPE html><html><body>Sign in to continue</body></html>", "<!DOCTYPE html>"),
        (zipped(b"<html>Not found</html>"), "<html>Not found</html>"),
    ],
    ids=["a gzip of a word", "HTML", "HTML in a zip"],
)
def test_what_is_no_report_is_rejected_and_shown(content: bytes, shown: str) -> None:
    with pytest.raises(RejectedError) as rejection:
        open_message(mail(TEXT, part(content, *typed("application/gzip", f"{NAME}.xml.gz"))))
    assert rejection.value.fault.reason is Reason.NO_REPORT
    assert shown in rejection.value.fault.detail
