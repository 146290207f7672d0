"""What an import makes of files, without a database: which reports, and what is wrong with the rest."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import dmarc_samples
from ingesting import report

from collector.importing.files import find
from collector.ingest.judge import Accepted, Judge, faults_of
from collector.trust import DkimVerifier, KeyCache
from mailposture.config.model import Config

if TYPE_CHECKING:
    from pathlib import Path

_NOW = datetime(2026, 12, 1, tzinfo=UTC)  # the reports of the samples are a few weeks or months old
DOMAINS = ("shop.example", "example.com")


@dataclass
class Imported:
    """Ids of reports, faults by name, and how many files were passed over."""

    reports: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    passed_over: int = 0


def imported(*paths: Path) -> Imported:
    """What an import stores of these files, and of what it says that it cannot be stored."""
    config = Config.model_validate({"domains": [{"name": name} for name in DOMAINS]})
    keys = KeyCache()
    judge = Judge(config, verifier=DkimVerifier(keys=keys))
    result = Imported()
    for found in find(paths):
        result.passed_over += found.passed_over
        faults = [found.fault] if found.fault else []
        if not found.passed_over and not found.fault:
            (verdict,) = judge.judge([(found.envelope, found.body)], now=_NOW)
            if isinstance(verdict, Accepted):
                result.reports += [rows.report.report_id for rows in verdict.reports]
            faults = list(faults_of(verdict))
        result.faults |= {f"{found.envelope.name}{'+' * more}": fault.detail for more, fault in enumerate(faults)}
    keys.close()
    return result


def tls(name: str, **changes: Any) -> bytes:
    """A TLS report, in one line."""
    return json.dumps({**json.loads(report(domain="shop.example")), "report-id": name, **changes}).encode()


def dmarc(name: str) -> bytes:
    """A DMARC report."""
    return dmarc_samples.feedback().replace(b"id-1", name.encode())


def mail(content: bytes, *, text: str = "This is a report.\n", name: str = "r.json") -> bytes:
    """A mail with a text and one attachment."""
    message = EmailMessage()
    message["From"] = "tls@sender.example"
    message["Date"] = "Thu, 26 Nov 2026 10:00:00 +0000"
    message["Message-ID"] = "<1@sender.example>"
    message["Subject"] = "Report"
    message.set_content(text)
    message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return message.as_bytes()
