"""What a mail says about the DMARC reports in it (RFC 7489, section 7.2.1.1; RFC 9990)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reports.kind import MailForm
from reports.rejection import Fault, Reason
from reports.values import domain_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.document import Opened

# Microsoft begins with `[Preview] `; other names in brackets are those of lists, which pass on what others say.
_SUBJECT: Final = re.compile(rb"(?:\[Preview\] )?Report[ _-]Domain:", re.IGNORECASE)
_SUBMITTER: Final = re.compile(r"\bSubmitter:[ \t]*<?([A-Za-z0-9._-]{1,253})", re.IGNORECASE)
_FILE: Final = re.compile(
    r"[^!/]{1,255}![^!/]{1,255}!\d{9,12}!\d{9,12}(?:![^!/]{1,255})?\.(?:xml|zip|gz)(?:\.gz)?", re.IGNORECASE
)


def submitter(opened: Opened) -> str:
    """Whom the Subject says the report is from, or empty."""
    found = _SUBMITTER.search(next(iter(opened.fields.get(b"subject", ())), "")[:1000])
    return (domain_name(found[1]) or "") if found else ""


def _states_a_report(fields: Mapping[bytes, tuple[bytes, ...]], report_type: bytes | None) -> bool:
    if report_type is not None:
        return report_type.lower() == b"dmarc"
    return _SUBJECT.match(b"".join(fields.get(b"subject", ()))) is not None


def is_file_name(name: str) -> bool:
    """Whether a part is called as a report is: `receiver!policy-domain!begin!end[!unique-id].xml[.gz]`."""
    return _FILE.fullmatch(name) is not None


# RFC 9991: the header, or all, of somebody's mail. Nothing of it is decoded or stored in ClickHouse.
_FAILURE_REPORT: Final = Fault(
    Reason.FAILURE_REPORT,
    "a report on a single mail (RFC 9991), which holds personal data; mailposture reads aggregate reports only: take "
    "this address out of ruf= in the _dmarc record",
)

MAIL: Final = MailForm(
    media_types=frozenset(),  # there is none of their own
    mislabelled=frozenset(
        (
            *(b"application/gzip", b"application/x-gzip", b"application/zip", b"application/x-zip-compressed"),
            *(b"application/x-zip", b"application/xml", b"text/xml", b"application/octet-stream"),
            *(b"application/gzip-compressed", b"application/x-gzip-compressed", b"application/tar+gzip"),
        )
    ),
    fields=(b"subject",),
    repeatable=frozenset(),
    states=_states_a_report,
    is_file_name=is_file_name,
    refused={"message/feedback-report": _FAILURE_REPORT},
)
