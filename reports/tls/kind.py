"""TLS reports (RFC 8460) as a kind of report: was mail to us encrypted?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from reports.document import Form
from reports.kind import ReportKind, ReportTables
from reports.table import Table
from reports.tls.attribution import Attribution, attribute, attribution_of
from reports.tls.decode import TlsReport, read
from reports.tls.header import MAIL, claims
from reports.tls.limits import FAILURE_DETAILS, JSON_BYTES, POLICIES
from reports.tls.meanings import write_failure_words
from reports.tls.rows import FailureRow, PolicyRow, ReportRow, rows_of


def _recognize(form: Form, _content: bytes) -> bool:
    """JSON should be one: whether it is, reading it shows, and says what is missing."""
    return form is Form.JSON


# What every report has (RFC 8460, section 4.4) and hardly anything else, which may lie in a mailbox beside reports.
_POLICIES: Final = re.compile(rb'"policies"\s*:')
_PERIOD: Final = re.compile(rb'"date-range"\s*:')


def _is_evident(content: bytes) -> bool:
    return _POLICIES.search(content) is not None and _PERIOD.search(content) is not None


TLS: Final[ReportKind[TlsReport, Attribution]] = ReportKind(
    name="tls",
    title="TLS report",
    counts="sessions",
    mail=MAIL,
    recognize=_recognize,
    root=b"",
    is_evident=_is_evident,
    document_bytes=JSON_BYTES,
    most_entries=FAILURE_DETAILS + POLICIES,
    read=read,
    attribute=attribute,
    attribution_of=attribution_of,
    claims=claims,
    posted=True,  # RFC 8460, section 3: rua may be an https URI
    key_service="tlsrpt",  # RFC 8460, section 3: else it must be ignored
    rows=rows_of,
    tables=ReportTables(
        parts=(Table("tls_policies", PolicyRow), Table("tls_failures", FailureRow)),
        report=Table("tls_reports", ReportRow),
    ),
    schema=Path(__file__).parent / "schema",
    write_words=write_failure_words,
)
