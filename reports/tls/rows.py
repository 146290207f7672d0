"""A report becomes rows: one for itself, one for each policy, one for each failure detail.

The rows are flat and repeat what they are grouped by, as the tables do.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.limits import TEXT_LENGTH
from reports.reporter import reporter_of
from reports.rows import Rows, shortened
from reports.table import Address, Day, Milliseconds, Seconds, UInt8, UInt16, UInt32, UInt64
from reports.text import clean
from reports.tls.classifying import Classifier
from reports.tls.counting import STS, failures_not_counting, policies_not_counting
from reports.tls.header import submitter
from reports.tls.limits import REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.kind import Provenance
    from reports.reporter import Reporter
    from reports.tls.attribution import Attribution
    from reports.tls.decode import TlsReport


class ReportRow(NamedTuple):
    """A row of tls_reports: its columns, in order."""

    day: Day
    report_key: UInt64
    content_key: UInt64
    reporter: str
    reporter_proven: bool
    organization: str
    contact: str
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
    successful_sessions: UInt64
    failed_sessions: UInt64
    warnings: tuple[str, ...]
    original: bytes
    version: UInt8


class PolicyRow(NamedTuple):
    """A row of tls_policies: its columns, in order."""

    policy_domain: str
    day: Day
    report_key: UInt64
    policy_index: UInt16
    reported_policy_domain: str
    reporter: str
    reporter_proven: bool
    organization: str
    policy_type: str
    sts_mode: str
    policy_strings: tuple[str, ...]
    mx_hosts: tuple[str, ...]
    successful_sessions: UInt64
    failed_sessions: UInt64
    counts: bool
    trust: str
    version: UInt8


class FailureRow(NamedTuple):
    """A row of tls_failures: its columns, in order. Addresses are 16 bytes, IPv4 mapped."""

    policy_domain: str
    day: Day
    report_key: UInt64
    policy_index: UInt16
    failure_index: UInt32
    reporter: str
    reporter_proven: bool
    organization: str
    policy_type: str
    sts_mode: str
    result_type: str
    category: str
    severity: str
    sending_mta_ip: Address
    receiving_mx: str
    receiving_mx_helo: str
    receiving_ip: Address
    reason_code: str
    additional_information: str
    failed_sessions: UInt64
    counts: bool
    trust: str
    version: UInt8


class TlsRows(Rows):
    """All rows of a TLS report."""

    __slots__ = ()

    @property
    def policies(self) -> tuple[PolicyRow, ...]:
        """One row per policy that is about a domain of ours."""
        return self.parts[0]

    @property
    def failures(self) -> tuple[FailureRow, ...]:
        """One row per failure detail of these."""
        return self.parts[1]


_TOO_MANY_REASONS: Final = (
    f"it has more than {REASONS} different failures; the others were classified without their reason codes"
)
_STS_MODE: Final = re.compile(r"\bmode\s*:\s*(enforce|testing|none)\b", re.IGNORECASE)


def rows_of(reports: Sequence[tuple[TlsReport, Attribution]], provenance: Provenance) -> list[Rows]:
    """The rows of the reports of one message: of their policies those that are ours."""
    classified = Classifier()
    submitted_by = submitter(provenance.opened)
    return [_rows_of(report, ours, provenance, submitted_by, classified) for report, ours in reports]


def _rows_of(
    report: TlsReport, ours: Attribution, provenance: Provenance, submitted_by: str, classified: Classifier
) -> Rows:
    opened, envelope, dkim_domain = provenance.opened, provenance.envelope, provenance.signer
    reporter = reporter_of(signer=dkim_domain, contact=report.contact, organization=report.organization)
    reported_by, proven = reporter
    content = hashlib.sha256(report.canonical).digest()
    day, key = report.day, _report_key(report, content, reporter, ours.domains)
    trusted, version = provenance.trust.value, provenance.trust.rank
    not_counting = policies_not_counting(ours.policies)
    failures_counted_elsewhere = failures_not_counting(ours.policies)
    policies, failures = [], []
    for domain, index, policy in ours.policies:
        sts_mode = _sts_mode(policy.strings) if policy.policy_type == STS else ""
        policies.append(
            PolicyRow(
                domain,
                day,
                key,
                index,
                policy.domain or "",
                reported_by,
                proven,
                report.organization,
                policy.policy_type,
                sts_mode,
                policy.strings,
                policy.mx_hosts,
                policy.successful_sessions,
                policy.failed_sessions,
                index not in not_counting,
                trusted,
                version,
            )
        )
        for position, detail in enumerate(policy.failures):
            category, severity = classified(detail.result_type, detail.reason_code)
            failures.append(
                FailureRow(
                    domain,
                    day,
                    key,
                    index,
                    position,
                    reported_by,
                    proven,
                    report.organization,
                    policy.policy_type,
                    sts_mode,
                    detail.result_type,
                    category,
                    severity,
                    detail.sending_mta_ip,
                    detail.receiving_mx,
                    detail.receiving_mx_helo,
                    detail.receiving_ip,
                    detail.reason_code,
                    detail.additional_information,
                    detail.failed_sessions,
                    (index, position) not in failures_counted_elsewhere,
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
        submitted_by,
        report.report_id,
        report.start,
        report.end,
        provenance.arrived_at,
        envelope.source.value,
        clean(envelope.name, TEXT_LENGTH),
        envelope.peer,
        trusted,
        dkim_domain,
        ours.domains,
        sum(row.successful_sessions for row in policies if row.counts),
        sum(row.failed_sessions for row in policies if row.counts),
        shortened(
            opened.warnings + report.warnings + ours.warnings + ((_TOO_MANY_REASONS,) if classified.full else ())
        ),
        report.original,
        version,
    )
    return TlsRows("tls", own_row, (tuple(policies), tuple(failures)))


def _report_key(report: TlsReport, content: bytes, reporter: Reporter, domains: tuple[str, ...]) -> int:
    """The identity of a report: its content and who reports.

    The content holds organization, contact, report-id, period and policies. A report-id alone identifies nothing:
    every Postfix reporter sends the same one. Who reports is proven, or the domain of the contact, which nearly always
    is the same: so a copy that nobody proves is the same report, and two that sign the same words are two. Our domains
    distinguish reports that leave the policy domain out, and only those: else a report that is imported again once
    another domain of it is configured would count twice. How it came in is no part of it. Copies that the keys do not
    show to be copies, copies.py finds.
    """
    digest = hashlib.sha256(content)
    digest.update(b"\n" + reporter.domain.encode())
    if not (report.policies and all(policy.domain != "" for policy in report.policies)):
        digest.update("\n".join(("", *domains)).encode())
    return int.from_bytes(digest.digest()[:8])


@lru_cache(maxsize=256)
def _sts_mode(policy_strings: tuple[str, ...]) -> str:
    """The mode in the lines of an MTA-STS policy (RFC 8461, section 3.2), or empty."""
    found = _STS_MODE.search("\n".join(policy_strings))
    return found[1].lower() if found else ""
