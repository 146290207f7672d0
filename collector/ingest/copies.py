"""Which reports are stored already, in this or in another copy.

A report comes more than once: replayed, by mail and by HTTPS, out of an archive. Copies have the same content. Most
have the same key as well, and replace each other by their version; here is what keys alone cannot say:

- What is not proven gives way to a proof of the same content, whichever came first, also where the contact that it
  names is of another organization than the signer, so that their keys differ.
- Two that are proven by two signers are never copies: whoever signs the words of another speaks for himself.
- A report that names no domain is about the domain that the path of a post says; by another path it is the same report.
- A report that is attributed otherwise than before, because the configuration is another, leaves nothing where it was.
- A copy that adds nothing is not stored again, so that the first one's time of arrival stays.

What is in tls_reports is stored as a whole, since its row there is written last.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reports.envelope import Source, Trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from clickhouse_connect.driver import Client

    from reports.tls.rows import ReportRow, Rows

_KEYS_A_QUESTION = 2_000  # ClickHouse takes no parameter of more than 128 KiB

_STORED = """
SELECT day, content_key, report_key, reporter, reporter_proven, policy_domains, source, received_at, version
FROM tls_reports
WHERE day >= {first:Date} AND day <= {last:Date} AND content_key IN {keys:Array(UInt64)}
ORDER BY version
SETTINGS max_threads = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What tells copies of a report apart."""

    day: date
    report_key: int
    reporter: str
    proven: bool
    domains: frozenset[str]
    by_post: bool
    received_at: datetime
    version: int

    @classmethod
    def of(cls, row: ReportRow) -> Copy:
        """That of a row of tls_reports."""
        return cls(
            day=row.day,
            report_key=row.report_key,
            reporter=row.reporter,
            proven=row.reporter_proven,
            domains=frozenset(row.policy_domains),
            by_post=row.source == Source.HTTPS,
            received_at=row.received_at,
            version=row.version,
        )

    def is_copy_of(self, other: Copy) -> bool:
        """Whether both are one report, given that their contents are the same."""
        if self.proven and other.proven and self.reporter != other.reporter:
            return False
        return self.by_post or other.by_post or bool(self.domains & other.domains)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stale:
    """Rows of a stored report that have to go: those of its key with a lower version."""

    day: date
    report_key: int
    below: int


_ANY_VERSION = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What to do with a batch of reports."""

    # Policies and failures of reports that are about other domains of ours than before. They go first: once such a
    # report is written, nothing shows any more that it was elsewhere.
    moved: list[Stale]
    write: list[Rows]
    superseded: list[Stale]  # unproven copies of proven reports
    duplicates: int  # of the reports, those of which another copy came before


def settle(reports: Sequence[Rows], *, client: Client) -> Settled:
    """Compare reports with what is stored, and with each other, in their order. Raises what ClickHouse raises."""
    known = _stored(reports, client)
    write: dict[int, Rows] = {}  # by report_key: of one report that is in the batch twice, the rows that win
    moved: list[Stale] = []
    superseded: dict[Stale, None] = {}
    duplicates = 0
    for rows in reports:
        new = Copy.of(rows.report)
        of_content = known[rows.report.day, rows.report.content_key]
        copies = [copy for copy in of_content.values() if copy.is_copy_of(new)]
        duplicates += bool(copies)
        for copy in copies:
            if copy.report_key == new.report_key:
                if copy.version <= new.version and copy.domains != new.domains:
                    moved.append(Stale(day=new.day, report_key=new.report_key, below=_ANY_VERSION))
            # Also if this very report is stored: ingest may have been killed before the other's rows were gone.
            elif copy.version < new.version:
                superseded[Stale(day=copy.day, report_key=copy.report_key, below=new.version)] = None
                del of_content[copy.report_key]
        if not any(_adds_nothing(new, copy) for copy in copies):
            of_content[new.report_key] = new
            write[new.report_key] = _with_first_arrival(rows, copies)
    return Settled(moved=moved, write=list(write.values()), superseded=list(superseded), duplicates=duplicates)


def _adds_nothing(new: Copy, copy: Copy) -> bool:
    """Whether a copy of a report that we have need not be stored.

    What an operator imports again may be attributed otherwise, once another domain or MX host is configured.
    """
    if copy.version != new.version:
        return copy.version > new.version
    if new.report_key != copy.report_key:
        return True
    return new.version != Trust.OPERATOR.rank and new.domains == copy.domains


def _with_first_arrival(rows: Rows, copies: Iterable[Copy]) -> Rows:
    """A copy of the same trust that is stored again did not come again."""
    times = [copy.received_at for copy in copies if copy.version == rows.report.version]
    if not times:
        return rows
    return rows._replace(report=rows.report._replace(received_at=min(rows.report.received_at, *times)))


def _stored(reports: Sequence[Rows], client: Client) -> defaultdict[tuple[date, int], dict[int, Copy]]:
    """Stored reports of the same contents, by day and content, then by their keys."""
    found: defaultdict[tuple[date, int], dict[int, Copy]] = defaultdict(dict)
    for start in range(0, len(reports), _KEYS_A_QUESTION):
        some = [rows.report for rows in reports[start : start + _KEYS_A_QUESTION]]
        days = [report.day for report in some]
        keys = [report.content_key for report in some]
        answer = client.query(_STORED, parameters={"first": min(days), "last": max(days), "keys": keys})
        for day, content, key, reporter, proven, domains, source, received_at, version in answer.result_rows:
            found[day, content][key] = Copy(
                day=day,
                report_key=key,
                reporter=reporter,
                proven=proven,
                domains=frozenset(domains),
                by_post=source == Source.HTTPS,
                received_at=received_at.replace(tzinfo=UTC),
                version=version,
            )
    return found
