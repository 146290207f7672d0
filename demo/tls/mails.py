"""The demo's TLS reports as mails (RFC 8460, section 5.3), signed by their senders."""

import gzip
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime

from demo.keys import SigningKey
from demo.mail import BOUNDARY, SIGNED, DemoMail, Fate, multipart, signed_mail
from demo.senders import SENDERS, Sender, Style
from demo.tls.documents import document, report_id
from demo.tls.reports import Report, reports

_COMPRESSED = (Style.GOOGLE, Style.MICROSOFT, Style.REPORTER)
# RFC 8460, section 5.3 wants its fields signed; Microsoft leaves them out.
_SIGNED_WITH_REPORT_FIELDS = (*SIGNED, "TLS-Report-Domain", "TLS-Report-Submitter")


def mails(today: date, keys: dict[str, SigningKey]) -> Iterator[DemoMail]:
    """The month of reports as mails, oldest first."""
    for report in reports(today):
        yield DemoMail(
            mail_from=report.sender.contact,
            recipient=_recipient(report.domain),
            content=report_mail(report, keys[report.sender.domain]),
            fate=Fate.STORED,
        )


def report_mail(report: Report, key: SigningKey | None) -> bytes:
    """A report as a mail; unsigned without a key."""
    content = document(report)
    compressed = report.sender.style in _COMPRESSED
    if compressed:
        content = gzip.compress(content, mtime=0)
    fields = _fields(report)
    body = _body(report, content, "gzip" if compressed else "json")
    return signed_mail(
        fields, body, key, SIGNED if report.sender.style is Style.MICROSOFT else _SIGNED_WITH_REPORT_FIELDS
    )


def attachment_mail(
    sender: Sender, domain: str, key: SigningKey, *, name: str, media_type: str, content: bytes
) -> bytes:
    """A signed mail with an attachment of any kind."""
    fields = [
        *_plain_fields(sender, domain, f"Report for {domain}"),
        ("Content-Type", f'multipart/mixed; boundary="{BOUNDARY}"'),
    ]
    return signed_mail(fields, multipart("See the attachment.", media_type, name, content), key, SIGNED)


def text_mail(sender: Sender, domain: str, subject: str, key: SigningKey) -> bytes:
    """A signed mail without any report."""
    fields = [*_plain_fields(sender, domain, subject), ("Content-Type", "text/plain; charset=utf-8")]
    return signed_mail(fields, f"{subject}\r\n".encode(), key, SIGNED)


def _recipient(domain: str) -> str:
    return f"tlsrpt@{domain}"


def _plain_fields(sender: Sender, domain: str, subject: str) -> list[tuple[str, str]]:
    return [("From", sender.contact), ("To", _recipient(domain)), ("Subject", subject), ("MIME-Version", "1.0")]


def _fields(report: Report) -> list[tuple[str, str]]:
    sender = report.sender
    left = report_id(report).replace(":", ".").replace("@", ".")
    identifier = left if sender.style is Style.MICROSOFT else f"<{left}@{sender.domain}>"
    fold = "\r\n " if sender.style is Style.REPORTER else " "
    subject = f"Report Domain: {report.domain}{fold}Submitter: {sender.domain} Report-ID: {identifier}"
    fields = [
        *_plain_fields(sender, report.domain, subject),
        ("Message-ID", f"<{left}@{sender.domain}>"),
        ("Content-Type", f'multipart/report; report-type="tlsrpt";\r\n boundary="{BOUNDARY}"'),
        ("TLS-Report-Domain", report.domain),
        ("TLS-Report-Submitter", sender.domain),
    ]
    if sender.style is not Style.REPORTER:  # tlsrpt-reporter writes no Date
        sent = datetime.combine(report.day + timedelta(days=1), time(10, SENDERS.index(sender)), UTC)
        fields.append(("Date", format_datetime(sent)))
    return fields


def _body(report: Report, content: bytes, suffix: str) -> bytes:
    """The body; the attachment's name as in RFC 8460, section 5.1."""
    start = int(datetime.combine(report.day, time(), UTC).timestamp())
    extension = "json.gz" if suffix == "gzip" else "json"
    return multipart(
        f"This is an aggregate TLS report from {report.sender.organization} about {report.domain}.",
        f"application/tlsrpt+{suffix}",
        f"{report.sender.domain}!{report.domain}!{start}!{start + 86_399}!001.{extension}",
        content,
    )
