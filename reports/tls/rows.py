"""A report becomes rows: one for itself, one for each policy, one for each failure detail.

The rows are flat and repeat what they are grouped by, as the tables do. Their fields are the columns of
mailposture/schema, in order.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from reports.limits import TEXT_LENGTH, WARNINGS
from reports.reporter import reporter_of
from reports.text import clean
from reports.tls.classifying import Classifier
from reports.tls.counting import STS, failures_not_counting, policies_not_counting
from reports.tls.limits import REASONS

if TYPE_CHECKING:
    from datetime import date, datetime

    from reports.document import Opened
    from reports.envelope import Envelope, Trust
    from reports.reporter import Reporter
    from reports.tls.attribution import Attribution
    from reports.tls.decode import TlsReport


class ReportRow(NamedTuple):
    """A row of tls_reports: its columns, in order."""

    day: date
    report_key: int
    content_key: int
    reporter: str
    reporter_proven: bool
    organization: str
    contact: str
    submitter: str
    report_id: str
    period_start: datetime
    period_end: datetime
    received_at: datetime
    source: str
    name: str
    peer: str
    trust: str
    dkim_domain: str
    policy_domains: tuple[str, ...]
    successful_sessions: int
    failed_sessions: int
    warnings: tuple[str, ...]
    original: bytes
    version: int


class PolicyRow(NamedTuple):
    """A row of tls_policies: its columns, in order."""

    policy_domain: str
    day: date
    report_key: int
    policy_index: int
    reported_policy_domain: str
    reporter: str
    reporter_proven: bool
    organization: str
    policy_type: str
    sts_mode: str
    policy_strings: tuple[str, ...]
    mx_hosts: tuple[str, ...]
    successful_sessions: int
    failed_sessions: int
    counts: bool
    trust: str
    version: int


class FailureRow(NamedTuple):
    """A row of tls_failures: its columns, in order. Addresses are 16 bytes, IPv4 mapped."""

    policy_domain: str
    day: date
    report_key: int
    policy_index: int
    failure_index: int
    reporter: str
    reporter_proven: bool
    organization: str
    policy_type: str
    sts_mode: str
    result_type: str
    category: str
    severity: str
    sending_mta_ip: bytes
    receiving_mx: str
    receiving_mx_helo: str
    receiving_ip: bytes
    reason_code: str
    additional_information: str
    failed_sessions: int
    counts: bool
    trust: str
    version: int


class Rows(NamedTuple):
    """All rows of one report."""

    report: ReportRow
    policies: tuple[PolicyRow, ...]
    failures: tuple[FailureRow, ...]


_TOO_MANY_REASONS: Final = (
    f"it has more than {REASONS} different failures; the others were classified without their reason codes"
)
_STS_MODE: Final = re.compile(r"\bmode\s*:\s*(enforce|testing|none)\b", re.IGNORECASE)


def rows_of(
    report: TlsReport,
    ours: Attribution,
    *,
    opened: Opened,
    envelope: Envelope,
    arrived_at: datetime,
    trust: Trust,
    dkim_domain: str,
    classifier: Classifier | None = None,
) -> Rows:
    """The rows of a report found in a message: of its policies those that are ours.

    Reports of one message share a `classifier`.
    """
    classified = classifier or Classifier()
    reporter = reporter_of(signer=dkim_domain, contact=report.contact, organization=report.organization)
    content = hashlib.sha256(report.canonical).digest()
    day, key = report.start.date(), _report_key(report, content, reporter, ours.domains)
    trusted, version = trust.value, trust.rank
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
                *reporter,
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
                    *reporter,
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
        *reporter,
        report.organization,
        report.contact,
        opened.submitter,
        report.report_id,
        report.start,
        report.end,
        arrived_at,
        envelope.source.value,
        clean(envelope.name, TEXT_LENGTH),
        envelope.peer,
        trusted,
        dkim_domain,
        ours.domains,
        sum(row.successful_sessions for row in policies if row.counts),
        sum(row.failed_sessions for row in policies if row.counts),
        _shortened(
            opened.warnings + report.warnings + ours.warnings + ((_TOO_MANY_REASONS,) if classified.full else ())
        ),
        report.original,
        version,
    )
    return Rows(own_row, tuple(policies), tuple(failures))


def _report_key(report: TlsReport, content: bytes, reporter: Reporter, domains: tuple[str, ...]) -> int:
    """The identity of a report: its content and who reports.

    The content holds organization, contact, report-id, period and policies. A report-id alone identifies nothing:
    every Postfix reporter sends the same one. Who reports is proven, or the domain of the contact, which nearly always
    is the same: so a copy that nobody proves is the same report, and two that sign the same words are two. Our domains
    tell apart reports that leave the policy domain out, and only those: else a report that is imported again once
    another domain of it is configured would count twice. How it came in is no part of it. Copies that the keys do not
    show to be copies, copies.py finds.
    """
    digest = hashlib.sha256(content)
    digest.update(b"\n" + reporter.domain.encode())
    if not (report.policies and all(policy.domain != "" for policy in report.policies)):
        digest.update("\n".join(("", *domains)).encode())
    return int.from_bytes(digest.digest()[:8])


def with_warnings(rows: Rows, warnings: tuple[str, ...]) -> Rows:
    """The rows of a report beside which there was something odd."""
    if not warnings:
        return rows
    return rows._replace(report=rows.report._replace(warnings=_shortened(rows.report.warnings + warnings)))


@lru_cache(maxsize=256)
def _sts_mode(policy_strings: tuple[str, ...]) -> str:
    """The mode in the lines of an MTA-STS policy (RFC 8461, section 3.2), or empty."""
    found = _STS_MODE.search("\n".join(policy_strings))
    return found[1].lower() if found else ""


def _shortened(warnings: tuple[str, ...]) -> tuple[str, ...]:
    more = len(warnings) - WARNINGS
    return (*warnings[:WARNINGS], f"and {more} more") if more > 0 else warnings
