"""A DMARC report becomes rows: one for itself, one per record, in which signatures stand in arrays."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.dmarc.header import submitter
from reports.limits import TEXT_LENGTH
from reports.reporter import reporter_of
from reports.rows import Rows, shortened
from reports.table import Address, Day, Milliseconds, Seconds, UInt8, UInt32, UInt64
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.dmarc.attribution import Attribution
    from reports.dmarc.decode import AuthResult, DmarcReport
    from reports.kind import Provenance
    from reports.reporter import Reporter


class ReportRow(NamedTuple):
    """A row of dmarc_reports: its columns, in order."""

    day: Day
    report_key: UInt64
    content_key: UInt64
    reporter: str
    reporter_proven: bool
    organization: str
    contact: str
    extra_contact: str
    submitter: str
    report_id: str
    period_start: Seconds
    period_end: Seconds
    received_at: Milliseconds
    source: str
    name: str
    peer: str
    trust: str
    dkim_domain: str
    policy_domains: tuple[str, ...]
    published_domain: str
    p: str
    sp: str
    np: str
    adkim: str
    aspf: str
    pct: UInt8
    fo: str
    testing: str
    discovery_method: str
    applied_policy: str
    applied_subdomain_policy: str
    generator: str
    error: str
    records: UInt32
    messages: UInt64
    passed_messages: UInt64
    warnings: tuple[str, ...]
    original: bytes
    version: UInt8


class RecordRow(NamedTuple):
    """A row of dmarc_records: its columns, in order. The address is 16 bytes, IPv4 mapped."""

    policy_domain: str
    day: Day
    report_key: UInt64
    record_index: UInt32
    reporter: str
    reporter_proven: bool
    organization: str
    header_from: str
    envelope_from: str
    envelope_to: str
    source_ip: Address
    messages: UInt64
    passed: bool
    dkim_aligned: bool
    spf_aligned: bool
    evaluated: bool
    disposition: str
    published_policy: str
    published_domain: str
    reasons: tuple[str, ...]
    comments: tuple[str, ...]
    dkim_domains: tuple[str, ...]
    dkim_selectors: tuple[str, ...]
    dkim_results: tuple[str, ...]
    dkim_details: tuple[str, ...]
    spf_domains: tuple[str, ...]
    spf_scopes: tuple[str, ...]
    spf_results: tuple[str, ...]
    spf_details: tuple[str, ...]
    trust: str
    version: UInt8


_Columns = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]
_NO_RESULTS: Final[_Columns] = ((), (), (), ())
# Long lists and texts stay out of the cache, where untrusted reporters could fill memory with them.
_USUAL_RESULTS: Final = 4
_USUAL_DETAILS: Final = 100  # characters


def rows_of(reports: Sequence[tuple[DmarcReport, Attribution]], provenance: Provenance) -> list[Rows]:
    """The rows of the reports of one message."""
    submitted_by = submitter(provenance.opened)
    return [_rows_of(report, ours, provenance, submitted_by) for report, ours in reports]


def _rows_of(report: DmarcReport, ours: Attribution, provenance: Provenance, submitted_by: str) -> Rows:
    reporter = reporter_of(
        signer=provenance.signer or provenance.spf_domain, contact=report.contact, organization=report.organization
    )
    reported_by, proven = reporter
    content = hashlib.sha256(report.canonical).digest()
    day, key = report.day, _report_key(content, reporter)
    (domain,), published = ours.domains, report.published
    trusted, version = provenance.trust.value, provenance.trust.rank
    records = []
    messages = passed = 0
    for index, record in enumerate(report.records):
        (
            address,
            count,
            disposition,
            by_dkim,
            by_spf,
            evaluated,
            header_from,
            envelope_from,
            envelope_to,
            reasons,
            dkim,
            spf,
        ) = record
        aligned = by_dkim or by_spf
        messages += count
        passed += count if aligned else 0
        dkim_domains, dkim_selectors, dkim_results, dkim_details = _columns(dkim)
        spf_domains, spf_scopes, spf_results, spf_details = _columns(spf)
        records.append(
            RecordRow(
                domain,
                day,
                key,
                index,
                reported_by,
                proven,
                report.organization,
                header_from,
                envelope_from,
                envelope_to,
                address,
                count,
                aligned,
                by_dkim,
                by_spf,
                evaluated,
                disposition,
                published.applied_to(header_from, disposition),
                published.domain,
                tuple([kind for kind, _ in reasons]) if reasons else (),
                tuple([comment for _, comment in reasons]) if reasons else (),
                dkim_domains,
                dkim_selectors,
                dkim_results,
                dkim_details,
                spf_domains,
                spf_scopes,
                spf_results,
                spf_details,
                trusted,
                version,
            )
        )
    own_row = ReportRow(
        day,
        key,
        int.from_bytes(content[:8]),
        reported_by,
        proven,
        report.organization,
        report.contact,
        report.extra_contact,
        submitted_by,
        report.report_id,
        report.start,
        report.end,
        provenance.arrived_at,
        provenance.envelope.source.value,
        clean(provenance.envelope.name, TEXT_LENGTH),
        provenance.envelope.peer,
        trusted,
        provenance.signer,
        ours.domains,
        published.domain,
        published.p,
        published.sp,
        published.np,
        published.adkim,
        published.aspf,
        published.pct,
        published.fo,
        published.testing,
        published.discovery_method,
        published.applied(published.p),
        published.applied(published.sp),
        report.generator,
        report.error,
        len(records),
        messages,
        passed,
        shortened(provenance.opened.warnings + report.warnings),
        report.original,
        version,
    )
    return Rows("dmarc", own_row, (tuple(records),))


def _columns(results: tuple[AuthResult, ...]) -> _Columns:
    """Domains, selectors (or scopes), results and details beside each other."""
    if not results:
        return _NO_RESULTS
    if len(results) > _USUAL_RESULTS:
        return _read_columns(results)
    for each in results:
        if len(each.human_result) > _USUAL_DETAILS:
            return _read_columns(results)
    return _known_columns(results)


def _read_columns(results: tuple[AuthResult, ...]) -> _Columns:
    domains, selectors, words, details = zip(*results, strict=True)
    return domains, selectors, words, details


_known_columns: Final = lru_cache(maxsize=16_384)(_read_columns)


def _report_key(content: bytes, reporter: Reporter) -> int:
    """The identity of a report: its content, which holds organization, e-mail, report id and period, and who reports.

    A report id alone identifies nothing: Google, Mimecast and GoDaddy use one again for another period.
    """
    digest = hashlib.sha256(content)
    digest.update(b"\n" + reporter.domain.encode())
    return int.from_bytes(digest.digest()[:8])
