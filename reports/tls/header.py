"""What the header of a mail says about the TLS reports in it (RFC 8460, section 5.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reports.kind import Claim, MailForm
from reports.limits import NAME_LENGTH
from reports.text import clean
from reports.values import domain_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.document import Opened
    from reports.tls.decode import TlsReport

_DOMAIN: Final = b"tls-report-domain"
_SUBMITTER: Final = b"tls-report-submitter"
_SUBJECT: Final = re.compile(r"Report Domain:[ \t]*([^ \t]*)", re.IGNORECASE)


def named_domains(opened: Opened) -> tuple[str, ...]:
    """Domains that TLS-Report-Domain names: one, none, or several that somebody added.

    What is no domain name stands here as it was written: it names something, and nothing of ours.
    """
    return tuple(dict.fromkeys(filter(None, map(_domain, opened.fields.get(_DOMAIN, ())))))


def subject_domain(opened: Opened) -> str:
    """What a signed Subject names, likewise, or empty."""
    if not opened.proven:
        return ""
    found = _SUBJECT.match(next(iter(opened.fields.get(b"subject", ())), ""))
    return _domain(found[1]) if found else ""


def submitter(opened: Opened) -> str:
    """TLS-Report-Submitter, normalized; empty if it is no domain name with a dot: `localhost` names nobody."""
    name = domain_name(next(iter(opened.fields.get(_SUBMITTER, ())), "")) or ""
    return name if "." in name else ""


def claims(_report: TlsReport, opened: Opened) -> Claim | None:
    """Whom the mail says the report is from. What the report itself says about its author is free text."""
    domain = submitter(opened)
    return Claim(domain, "TLS-Report-Submitter") if domain else None


def _domain(written: str) -> str:
    return domain_name(written) or clean(written, NAME_LENGTH)


def _states_a_report(fields: Mapping[bytes, tuple[bytes, ...]], report_type: bytes | None) -> bool:
    if report_type is not None:
        return report_type.lower() == b"tlsrpt"
    if fields.get(_DOMAIN) or fields.get(_SUBMITTER):
        return True
    return _SUBJECT.match(b"".join(fields.get(b"subject", ())).decode("ascii", "replace")) is not None


MAIL: Final = MailForm(
    media_types=frozenset(
        (b"application/tlsrpt+json", b"application/tlsrpt+gzip", b"application/tlsrpt+zip", b"application/tlsrpt")
    ),
    mislabelled=frozenset(
        (
            *(b"application/json", b"application/gzip", b"application/x-gzip", b"application/zip"),
            *(b"application/x-zip-compressed", b"application/octet-stream"),
        )
    ),
    fields=(_DOMAIN, _SUBMITTER, b"subject"),
    repeatable=frozenset((_DOMAIN,)),
    states=_states_a_report,
    is_file_name=lambda _name: False,  # RFC 8460 has better ways
)
