"""Which mails in a mailbox hold a report: those of all real reporters, and of nobody else's mail any."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from collector.documents.limits import Limits
from collector.documents.recognize import report_in

SAMPLES = Path(__file__).parent / "samples"
REPORT = (SAMPLES / "no_traffic.json").read_bytes()


def mail(content: bytes, media_type: str = "application/octet-stream", *, text: str = "Hello") -> bytes:
    """One attachment beside a text."""
    return (
        b'Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\n%b\r\n--b\r\nContent-Type: %b\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n%b\r\n--b--\r\n"
        % (text.encode(), media_type.encode(), base64.encodebytes(content))
    )


def zipped(*members: tuple[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in members:
            writer.writestr(name, content)
    return archive.getvalue()


@pytest.mark.parametrize("sample", sorted(SAMPLES.iterdir()), ids=lambda path: path.name)
def test_reports_of_all_reporters_are_recognized(sample: Path) -> None:
    content = sample.read_bytes()
    mails = [content] if sample.suffix == ".eml" else [mail(content), mail(gzip.compress(content))]
    assert all(map(report_in, mails))


@pytest.mark.parametrize(
    "body",
    [
        mail(b"not even compressed", "application/tlsrpt+gzip"),
        mail(gzip.compress(REPORT)[:-9], "Application/TLSRPT+gzip"),
        mail(b'{"organization-name":', "application/tlsrpt+json"),
        mail(gzip.compress(bytes(40 << 20)), "application/tlsrpt+gzip"),
    ],
    ids=["noise", "truncated", "broken", "a bomb"],
)
def test_what_is_labelled_as_a_report_counts_as_one(body: bytes) -> None:
    assert report_in(body) == "tls"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"\x00\xff" * 1000,
        b"Subject: x\r\n\r\nHello",
        mail(json.dumps({"name": "package", "policies": ["a"]}).encode(), "application/json"),
        mail(json.dumps({"Statement": [{"policies": "date-range"}]}).encode()[:-4]),
        mail(b"[1, 2]"),
        mail(b"{ it begins like JSON"),
        mail(gzip.compress(b'<?xml version="1.0"?><feedback></feedback>'), "application/gzip"),
        mail(zipped(("a.xml", b'<?xml version="1.0"?><feedback></feedback>')), "application/zip"),
        mail(zipped(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w:document/>"))),
        mail(zipped(*((f"{number}.json", b"{}") for number in range(500)))),
        mail(gzip.compress(bytes(40 << 20))),
        mail(b"x", text=f"Look at this:\r\n\r\n{REPORT.decode()}\r\n"),
        mail(b"x", text="You label it as application/tlsrpt+gzip,\r\n-- \r\nContent-Type: application/tlsrpt+gzip"),
    ],
)
def test_other_mail_is_not(body: bytes) -> None:
    assert not report_in(body)


def test_a_report_beside_other_attachments_is_found() -> None:
    office = zipped(("word/document.xml", b"<w:document/>"))
    beside = mail(office).replace(
        b"--b--",
        b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n%b\r\n--b--" % base64.encodebytes(zipped(("r", REPORT))),
    )
    assert report_in(beside)


def test_more_than_decoding_takes_is_not_looked_into() -> None:
    assert not report_in(mail(REPORT), limits=Limits(mime_parts=1))
