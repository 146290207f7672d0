"""The demo's DMARC reports as mails (RFC 7489, section 7.2.1.1), signed by their reporters."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
from datetime import UTC, datetime, time, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from demo.dmarc.documents import begin, end, report_id, xml
from demo.dmarc.reporters import REPORTERS, DmarcStyle
from demo.dmarc.reports import DmarcReport, dmarc_reports
from demo.domains import DOMAINS, PARKED
from demo.mail import BOUNDARY, SIGNED, DemoMail, Fate, multipart, signed_mail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from demo.keys import SigningKey


def dmarc_mails(today: date, keys: dict[str, SigningKey]) -> Iterator[DemoMail]:
    """The month of reports as mails, oldest first."""
    for report in dmarc_reports(today):
        yield DemoMail(
            mail_from=report.reporter.contact,
            recipient=_recipient(report),
            content=dmarc_report_mail(report, keys[report.reporter.sender.domain]),
            fate=Fate.STORED,
        )


def dmarc_report_mail(report: DmarcReport, key: SigningKey | None) -> bytes:
    """A report as a mail; unsigned without a key."""
    name = f"{report.reporter.sender.domain}!{report.domain.name}!{begin(report)}!{end(report)}"
    if report.reporter.style is DmarcStyle.GOOGLE:  # the attachment is all of it
        fields = [
            *_fields(report),
            ("Content-Type", f'application/zip; name="{name}.zip"'),
            ("Content-Disposition", f'attachment; filename="{name}.zip"'),
            ("Content-Transfer-Encoding", "base64"),
        ]
        body = base64.encodebytes(_zipped(report, f"{name}.xml")).replace(b"\n", b"\r\n")
        return signed_mail(fields, body, key, (*SIGNED, "Content-Disposition", "Content-Transfer-Encoding"))
    fields = [*_fields(report), ("Content-Type", f'multipart/mixed; boundary="{BOUNDARY}"')]
    body = multipart(
        f"This is a DMARC aggregate report for {report.domain.name}.",
        "application/gzip",
        f"{name}.xml.gz",
        gzip.compress(xml(report), mtime=0),
    )
    return signed_mail(fields, body, key, SIGNED)


def _recipient(report: DmarcReport) -> str:
    taking = DOMAINS[0] if report.domain in PARKED else report.domain
    return f"dmarc@{taking.name}"


def _fields(report: DmarcReport) -> list[tuple[str, str]]:
    reporter, identifier = report.reporter, report_id(report)
    in_brackets = reporter.style in (DmarcStyle.YAHOO, DmarcStyle.STALWART)
    sent = datetime.combine(report.day + timedelta(days=1), time(9, REPORTERS.index(reporter)), UTC)
    subject = (
        f"{'[Preview] ' if reporter.style is DmarcStyle.MICROSOFT else ''}Report Domain: {report.domain.name} "
        f"Submitter: {reporter.sender.domain} Report-ID: {f'<{identifier}>' if in_brackets else identifier}"
    )
    return [
        ("From", f"{reporter.organization.removesuffix(' (demo)')} <{reporter.contact}>"),
        ("To", _recipient(report)),
        ("Subject", subject),
        ("Date", format_datetime(sent)),
        ("Message-ID", f"<{identifier}@{reporter.mail_domain}>"),
        ("MIME-Version", "1.0"),
    ]


def _zipped(report: DmarcReport, name: str) -> bytes:
    """An archive that is the same for the same report."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(
            zipfile.ZipInfo(name, (report.day.year, report.day.month, report.day.day, 0, 0, 0)), xml(report)
        )
    return archive.getvalue()
