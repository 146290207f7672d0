"""Which reports are stored already, in this or in another copy.

A report comes more than once: replayed, by mail and by HTTPS, out of an archive. Copies have the same content. Most
have the same key as well, and replace each other by their version; here is what keys alone cannot say:

- What is not proven gives way to a proof of the same content, whichever came first, if the signer is of an organization
  that it names: as its contact, as its submitter, or in the name of its file. Some reporters have others sign for them,
  so a post gives way to any signer, as the post proves nothing.
- Whoever knows a report can sign it. So what an operator gave us (import, release) takes the place of the proof of a
  signer that it does not name; and of such a proof and a copy from a trusted mailbox, which may hold forgeries, the
  first stays.
- Two that are proven by two signers are never copies: whoever signs the words of another speaks for himself.
- A report that names no domain is about the domain that the path of a post says; by another path it is the same report.
- A report that is attributed otherwise than before, because the configuration is another, leaves nothing where it was.
- A copy that adds nothing is not stored again, so that the first one's time of arrival stays.

A report that has its own row is stored as a whole, since that row is written last.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mailposture.clickhouse.parameters import in_parts
from mailposture.domain_names import organizational_domain
from reports.envelope import Source, Trust
from reports.file_names import sender_of_file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from clickhouse_connect.driver import Client

    from reports.rows import ReportRow, Rows

_STORED = """
SELECT
    day, content_key, report_key, reporter, reporter_proven, submitter, policy_domains, source, name, received_at,
    version
FROM {table}
WHERE day >= {{first:Date}} AND day <= {{last:Date}} AND content_key IN {{keys:Array(UInt64)}}
ORDER BY version
SETTINGS max_threads = 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What distinguishes copies of a report."""

    day: date
    report_key: int
    reporter: str
    proven: bool
    submitter: str  # whom the message or the name of its file says it is from, or empty
    domains: frozenset[str]
    by_post: bool
    received_at: datetime
    version: int

    @classmethod
    def of(cls, row: ReportRow) -> Copy:
        """That of a report's own row."""
        return cls(
            day=row.day,
            report_key=row.report_key,
            reporter=row.reporter,
            proven=row.reporter_proven,
            submitter=_submitter(row.submitter, row.source, row.name),
            domains=frozenset(row.policy_domains),
            by_post=Source(row.source).is_post,
            received_at=row.received_at,
            version=row.version,
        )

    def is_copy_of(self, other: Copy) -> bool:
        """Whether both are one report, given that their contents are the same."""
        if self.proven and other.proven and self.reporter != other.reporter:
            return False
        return self.by_post or other.by_post or bool(self.domains & other.domains)

    def outranks(self, other: Copy) -> bool:
        """Whether it takes the place of another copy of the same report. Of some two copies, neither does."""
        if self.proven != other.proven:
            unproven, proof = (other, self) if self.proven else (self, other)
            if unproven.version > Trust.TOKEN.rank and not unproven.names(proof.reporter):
                return self.version == Trust.OPERATOR.rank
        return self.version > other.version

    def names(self, signer: str) -> bool:
        """Whether an unproven copy says that it is of this organization."""
        return signer in (self.reporter, organizational_domain(self.submitter) or self.submitter)


def _submitter(named: str, source: str, name: str) -> str:
    return named or (sender_of_file_name(name) if Source(source).is_file else "")


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
    superseded: list[Stale]  # copies that another one has taken the place of
    duplicates: int  # of the reports, those of which another copy came before


def settle(reports: Sequence[Rows], *, table: str, client: Client) -> Settled:
    """Compare reports of one kind with what its table has, and with each other, in their order.

    `table` is named with its database. Raises what ClickHouse raises.
    """
    known = _stored(reports, table, client)
    write: dict[int, Rows] = {}  # by report_key: of one report that is in the batch twice, the rows that win
    moved: list[Stale] = []
    superseded: dict[int, Stale] = {}  # by report_key
    duplicates = 0
    for rows in reports:
        new = Copy.of(rows.report)
        of_content = known[rows.report.day, rows.report.content_key]
        copies = [copy for copy in of_content.values() if copy.is_copy_of(new)]
        duplicates += bool(copies)
        kept = next((copy for copy in copies if copy.outranks(new)), new)
        for copy in copies:
            if copy.report_key == kept.report_key:
                if copy.version <= kept.version and copy.domains != kept.domains:
                    moved.append(Stale(day=kept.day, report_key=kept.report_key, below=_ANY_VERSION))
            # Also if the one that is kept is stored: ingest may have been killed before the other's rows were gone.
            elif kept.is_copy_of(copy) and kept.outranks(copy):
                superseded[copy.report_key] = Stale(day=copy.day, report_key=copy.report_key, below=copy.version + 1)
                del of_content[copy.report_key]
                write.pop(copy.report_key, None)
        if not any(_adds_nothing(new, copy) for copy in copies):
            of_content[new.report_key] = new
            write[new.report_key] = _with_first_arrival(rows, copies)
    moved += [stale for key, stale in superseded.items() if key in write]
    gone = [stale for key, stale in superseded.items() if key not in write]
    return Settled(moved=moved, write=list(write.values()), superseded=gone, duplicates=duplicates)


def superseded(reports: Sequence[Rows], *, table: str, client: Client) -> list[Stale]:
    """Those of these reports of one kind beside which the table has a better proven copy.

    Raises what ClickHouse raises.
    """
    known = _stored(reports, table, client)
    return [
        Stale(day=old.day, report_key=old.report_key, below=copy.version)
        for rows in reports
        for old in (Copy.of(rows.report),)
        for copy in known[rows.report.day, rows.report.content_key].values()
        if copy.report_key != old.report_key and copy.version > old.version and copy.is_copy_of(old)
    ]


def _adds_nothing(new: Copy, copy: Copy) -> bool:
    """Whether a copy of a report that we have need not be stored.

    What an operator imports again may be attributed otherwise, once another domain or MX host is configured.
    """
    if copy.outranks(new) or new.outranks(copy):
        return copy.outranks(new)
    if new.report_key != copy.report_key:
        return True
    return new.version != Trust.OPERATOR.rank and new.domains == copy.domains


def _with_first_arrival(rows: Rows, copies: Iterable[Copy]) -> Rows:
    """A copy of the same trust that is stored again did not come again."""
    times = [copy.received_at for copy in copies if copy.version == rows.report.version]
    if not times:
        return rows
    return rows._replace(report=rows.report._replace(received_at=min(rows.report.received_at, *times)))


def _stored(reports: Sequence[Rows], table: str, client: Client) -> defaultdict[tuple[date, int], dict[int, Copy]]:
    """Stored reports of the same contents, by day and content, then by their keys."""
    found: defaultdict[tuple[date, int], dict[int, Copy]] = defaultdict(dict)
    for part in in_parts(reports):
        some = [rows.report for rows in part]
        days = [report.day for report in some]
        keys = [report.content_key for report in some]
        answer = client.query(
            _STORED.format(table=table), parameters={"first": min(days), "last": max(days), "keys": keys}
        )
        for (
            day,
            content,
            key,
            reporter,
            proven,
            named,
            domains,
            source,
            name,
            received_at,
            version,
        ) in answer.result_rows:
            found[day, content][key] = Copy(
                day=day,
                report_key=key,
                reporter=reporter,
                proven=proven,
                submitter=_submitter(named, source, name),
                domains=frozenset(domains),
                by_post=Source(source).is_post,
                received_at=received_at.replace(tzinfo=UTC),
                version=version,
            )
    return found
