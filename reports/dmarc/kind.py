"""DMARC aggregate reports (RFC 7489, RFC 9990) as a kind of report: is mail from us authenticated?"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reports.dmarc import evidence
from reports.dmarc.attribution import Attribution, attribute, attribution_of
from reports.dmarc.decode import DmarcReport, read
from reports.dmarc.header import MAIL
from reports.dmarc.limits import RECORDS, XML_BYTES
from reports.dmarc.rolling_up import roll_up
from reports.dmarc.rows import RecordRow, ReportRow, rows_of
from reports.dmarc.senders import write_senders
from reports.dmarc.words import write_meanings
from reports.document import Form
from reports.kind import Claim, ReportKind, ReportTables
from reports.table import Table

if TYPE_CHECKING:
    from datetime import datetime

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config


_NEAR: Final = 4096
_ENCODED: Final = 64  # bytes in which UTF-16 and UTF-32 show
_AROUND: Final = re.compile(rb"[\s\xef\xbb\xbf\xfe\xff]*(?:<!--.*?-->|<\?.*?\?>)", re.DOTALL)


def _recognize(form: Form, content: bytes) -> bool:
    """XML with the root element of a report near its beginning, comments left out, in whatever encoding."""
    if form is not Form.XML:
        return False
    text = content.replace(b"\0", b"") if b"\0" in content[:_ENCODED] else content
    start = 0
    while around := _AROUND.match(text, start):
        start = around.end()
    return b"feedback" in text[start : start + _NEAR].lower()


def _is_evident(content: bytes) -> bool:
    """What every report has (RFC 9990, section 3), in whatever encoding."""
    text = content.replace(b"\0", b"").lower()
    return b"report_metadata" in text and b"policy_published" in text


def _claims(*_: object) -> Claim | None:
    """None but that of From, with which every signature that counts is aligned (RFC 7489, section 7.2.1.1)."""
    return None


def _write_words(client: Client, config: Config) -> None:
    write_meanings(client, config)
    write_senders(client, config)


def _look_up(client: Client, config: Config, now: datetime) -> float:
    from reports.dmarc.naming import name_sources  # noqa: PLC0415  with dnspython, which most commands do not need

    return name_sources(client, config, now)


DMARC: Final[ReportKind[DmarcReport, Attribution]] = ReportKind(
    name="dmarc",
    title="DMARC report",
    counts="messages",
    mail=MAIL,
    recognize=_recognize,
    root=b"feedback",  # RFC 9990, appendix A
    is_evident=_is_evident,
    document_bytes=XML_BYTES,
    most_entries=RECORDS,
    read=read,
    attribute=attribute,
    attribution_of=attribution_of,
    claims=_claims,
    posted=False,  # RFC 9990: by mail alone
    key_service="",  # RFC 7489, section 7.2.1.1: the mail must pass DMARC
    rows=rows_of,
    tables=ReportTables(parts=(Table("dmarc_records", RecordRow),), report=Table("dmarc_reports", ReportRow)),
    schema=Path(__file__).parent / "schema",
    words=evidence.WORDS,
    write_words=_write_words,
    roll_up=roll_up,
    look_up=_look_up,
)
