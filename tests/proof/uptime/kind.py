"""Uptime reports, which nobody sends: a kind of report in as few lines as it takes, to be laid beside `reports/tls`."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.document import Form
from reports.kind import MailForm, ReportKind, ReportTables
from reports.rejection import Reason, RejectedError
from reports.reporter import reporter_of
from reports.rows import Rows, shortened
from reports.table import Day, Milliseconds, Seconds, Table, UInt8, UInt32, UInt64
from reports.values import domain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.ownership import Ownership
    from reports.document import Document, Opened
    from reports.envelope import Envelope
    from reports.kind import Provenance

_FIELD: Final = b"uptime-report-domain"


class UptimeReport(NamedTuple):
    """How often hosts of a domain answered."""

    organization: str
    contact: str
    domain: str
    start: datetime
    end: datetime
    checks: tuple[tuple[str, int, int], ...]  # host, up, down
    original: bytes

    @property
    def day(self) -> date:
        return self.start.date()

    @property
    def entries(self) -> int:
        return len(self.checks)


class Attribution(NamedTuple):
    domains: tuple[str, ...]


class ReportRow(NamedTuple):
    day: Day
    report_key: UInt64
    content_key: UInt64
    reporter: str
    reporter_proven: bool
    organization: str
    submitter: str
    period_end: Seconds
    received_at: Milliseconds
    source: str
    name: str
    trust: str
    dkim_domain: str
    policy_domains: tuple[str, ...]
    warnings: tuple[str, ...]
    original: bytes
    version: UInt8


class CheckRow(NamedTuple):
    policy_domain: str
    day: Day
    report_key: UInt64
    check_index: UInt32
    host: str
    up: UInt32
    down: UInt32
    version: UInt8


def read(document: Document) -> UptimeReport:
    try:
        said = json.loads(document.content)["uptime-report"]
        return UptimeReport(
            organization=said["organization"],
            contact=said["contact"],
            domain=domain_name(said["domain"]) or "",
            start=datetime.fromtimestamp(said["start"], UTC),
            end=datetime.fromtimestamp(said["end"], UTC),
            checks=tuple((domain_name(each["host"]) or "", each["up"], each["down"]) for each in said["checks"]),
            original=document.content,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RejectedError(Reason.INVALID_FIELD, f"no uptime report: {error!r}") from error


def attribute(report: UptimeReport, _opened: Opened, _envelope: Envelope, ownership: Ownership) -> Attribution:
    if domain := ownership.domain_above(report.domain):
        return Attribution((domain,))
    raise RejectedError(Reason.FOREIGN_DOMAIN, f"about {report.domain}: not a domain of the configuration")


def rows_of(reports: Sequence[tuple[UptimeReport, Attribution]], provenance: Provenance) -> list[Rows]:
    return [_rows_of(report, ours.domains, provenance) for report, ours in reports]


def _rows_of(report: UptimeReport, domains: tuple[str, ...], provenance: Provenance) -> Rows:
    by, proven = reporter_of(signer=provenance.signer, contact=report.contact, organization=report.organization)
    content = hashlib.sha256(report.original).digest()
    key = int.from_bytes(hashlib.sha256(content + by.encode()).digest()[:8])
    own_row = ReportRow(
        day=report.day,
        report_key=key,
        content_key=int.from_bytes(content[:8]),
        reporter=by,
        reporter_proven=proven,
        organization=report.organization,
        submitter="",
        period_end=report.end,
        received_at=provenance.arrived_at,
        source=provenance.envelope.source.value,
        name=provenance.envelope.name,
        trust=provenance.trust.value,
        dkim_domain=provenance.signer,
        policy_domains=domains,
        warnings=shortened(provenance.opened.warnings),
        original=report.original,
        version=provenance.trust.rank,
    )
    checks = tuple(
        CheckRow(domains[0], report.day, key, index, *check, own_row.version)
        for index, check in enumerate(report.checks)
    )
    return Rows("uptime", own_row, (checks,))


UPTIME: Final[ReportKind[UptimeReport, Attribution]] = ReportKind(
    name="uptime",
    title="uptime report",
    counts="minutes",
    mail=MailForm(
        media_types=frozenset((b"application/uptime+json",)),
        mislabelled=frozenset(),
        fields=(_FIELD,),
        repeatable=frozenset(),
        states=lambda fields, _report_type: bool(fields.get(_FIELD)),
        is_file_name=lambda _name: False,
    ),
    recognize=lambda form, content: form is Form.JSON and b'"uptime-report"' in content[:100],
    root=b"",
    is_evident=lambda content: b'"uptime-report"' in content,
    document_bytes=1_000_000,
    most_entries=1_000,
    read=read,
    attribute=attribute,
    attribution_of=lambda _report, stored: Attribution(stored.report.policy_domains),
    claims=lambda _report, _opened: None,
    posted=True,
    key_service="uptime",
    rows=rows_of,
    tables=ReportTables(parts=(Table("uptime_checks", CheckRow),), report=Table("uptime_reports", ReportRow)),
    schema=Path(__file__).parent / "schema",
)
