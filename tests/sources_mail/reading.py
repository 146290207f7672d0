"""What tests of mailboxes are made of: mails with and without a report, and a spool that shows what it got."""

from __future__ import annotations

import gzip
import json
import threading
from datetime import timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING

from collector.spool import SpoolFullError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from reports.envelope import Envelope


SOON = timedelta(milliseconds=50)
"""How often tests look into a mailbox, and try again: more often than a configuration may say."""


def report_mail(number: int, *, more: bytes = b"") -> bytes:
    """A mail that holds a report; each number is another one."""
    return (
        b"From: a@example.net\r\nSubject: report %d\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=tlsrpt; boundary="b0"\r\n\r\n'
        b"--b0\r\nContent-Type: text/plain\r\n\r\nA report.\r\n%b"
        b"--b0\r\nContent-Type: application/tlsrpt+json\r\n\r\n%b\r\n--b0--\r\n" % (number, more, report(number))
    )


def report(number: int) -> bytes:
    """A small report as JSON."""
    return json.dumps(
        {
            "organization-name": "Sender Inc.",
            "contact-info": "tls@sender.example",
            "report-id": f"{number}",
            "date-range": {"start-datetime": "2026-11-01T00:00:00Z", "end-datetime": "2026-11-01T23:59:59Z"},
            "policies": [{"policy": {"policy-type": "sts", "policy-domain": "shop.example"}, "summary": {}}],
        }
    ).encode()


def private_mail(number: int) -> bytes:
    """A mail that is nobody's business."""
    return b"From: aunt@example.org\r\nSubject: photos %d\r\n\r\nSee you on Sunday.\r\n" % number


def dmarc_report() -> bytes:
    """A mail with a report of another kind."""
    xml = b"<feedback><report_metadata/><policy_published/></feedback>"
    return _with_xml("Report domain: shop.example Submitter: other.example", xml)


def news_feed() -> bytes:
    """A mail that looks like one with a report from outside."""
    return _with_xml("Your feed", b"<rss><channel/></rss>")


def _with_xml(subject: str, xml: bytes) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "robot@other.example", subject
    content = gzip.compress(b'<?xml version="1.0"?>' + xml, mtime=0)
    mail.add_attachment(content, maintype="application", subtype="gzip", filename="a!shop.example!1!2.xml.gz")
    mail.set_boundary("b0")
    return mail.as_bytes().replace(b"\n", b"\r\n")


class RecordingSpool:
    """Remembers what it got, and fails on demand."""

    def __init__(self) -> None:
        self.got: list[tuple[Envelope, bytes]] = []
        self.full = False
        self.refused = 0
        self.before_return: Callable[[], None] = lambda: None

    def put(self, envelope: Envelope, body: bytes) -> int:
        if self.full:
            self.refused += 1
            raise SpoolFullError("no room")
        self.got.append((envelope, body))
        self.before_return()
        return len(self.got)

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.got]


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            return self._now

    def turn(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds


def events(said: Iterable[Mapping[str, Any]], words: str) -> list[Mapping[str, Any]]:
    """Log lines with these words in them."""
    return [each for each in said if words in each["event"]]
