"""Stored reports read again from their originals, after a release that reads or classifies them otherwise.

Day by day, so partition by partition, a few reports at a time. Rows that come out otherwise replace those that are
there, which have the same keys; rows that are no more are deleted after that. So it may be killed at any time, and run
again from any day: reports whose rows are as they should be are only read.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from collector.ingest.arrow import from_arrow
from collector.ingest.copies import superseded
from collector.ingest.writer import Writer
from mailposture.clickhouse.parameters import in_parts
from reports.kinds import KINDS
from reports.rebuilding import rebuilt
from reports.rejection import RejectedError
from reports.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from clickhouse_connect.driver import Client

    from reports.kind import ReportKind
    from reports.table import Table

log = structlog.get_logger()

MOST_SHOWN = 20
_BATCH_REPORTS = 500
_BATCH_BYTES = 8 * 1024 * 1024  # of originals; their rows take some ten times as much memory


@dataclass(slots=True, kw_only=True)
class Reprocessed:
    """What became of the reports of one kind about one day."""

    day: date
    reports: int = 0
    changed: int = 0
    unreadable: int = 0  # rejected by today's code: their rows stay as they are
    first_unreadable: list[str] = field(default_factory=list)  # of a few of them, which and why

    def leave(self, why: str) -> None:
        """Count one more that cannot be read."""
        self.unreadable += 1
        if len(self.first_unreadable) < MOST_SHOWN:
            self.first_unreadable.append(why)


class _StoredRow(NamedTuple):
    row: Any
    row_key: int  # as ClickHouse computes it of the table's sorting key and version


class _Stored(NamedTuple):
    """A report as it is stored."""

    rows: Rows
    parts: tuple[list[_StoredRow], ...]


class Reprocessor:
    """Reads stored reports again; not beside an import, which may attribute the same reports otherwise."""

    def __init__(self, *, client: Client, database: str) -> None:
        self._client = client
        self._database = database
        self._writer = Writer(client=client, database=database)
        self._sorting_keys: dict[str, str] = {}

    def days(self, first: date, last: date) -> list[date]:
        """The days of this range that there are reports about, in order."""
        days = {day for kind in KINDS for day in self._days_of(kind, first, last)}
        return sorted(days)

    def run(self, days: Iterable[date]) -> Iterator[Reprocessed]:
        """Read the reports about these days again. Raises what ClickHouse raises: run it again then."""
        for day in days:
            for kind in KINDS:
                yield self._reprocess(kind, day)

    def _days_of(self, kind: ReportKind[Any, Any], first: date, last: date) -> list[date]:
        sql = f"SELECT DISTINCT day FROM {self._name(kind.tables.report)} WHERE day BETWEEN {{f:Date}} AND {{l:Date}}"
        return [day for (day,) in self._client.query(sql, parameters={"f": first, "l": last}).result_rows]

    def _reprocess(self, kind: ReportKind[Any, Any], day: date) -> Reprocessed:
        account = Reprocessed(day=day)
        for keys in self._batches(kind, day):
            changed: list[tuple[_Stored, Rows]] = []
            for stored in self._read(kind, day, keys):
                account.reports += 1
                try:
                    new = rebuilt(stored.rows, kind)
                except RejectedError as error:
                    account.leave(f"report {stored.rows.report.report_key} about {day}: {error.fault.detail}")
                except Exception as error:  # whatever untrusted senders wrote must not stop the others
                    log.exception("a stored report could not be read: please report this with its original")
                    account.leave(f"report {stored.rows.report.report_key} about {day}: {error!r}")
                else:
                    if _differs(stored.rows, new):
                        changed.append((stored, new))
            if changed:
                self._replace(kind, changed)
                account.changed += len(changed)
        return account

    def _batches(self, kind: ReportKind[Any, Any], day: date) -> Iterator[list[int]]:
        """The keys of the day's reports, few enough at a time."""
        sql = (
            f"SELECT report_key, length(original) FROM {self._name(kind.tables.report)} FINAL"
            " WHERE day = {day:Date} ORDER BY report_key"
        )
        batch: list[int] = []
        size = 0
        for key, length in self._client.query(sql, parameters={"day": day}).result_rows:
            if batch and (len(batch) == _BATCH_REPORTS or size + length > _BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(key)
            size += length
        if batch:
            yield batch

    def _read(self, kind: ReportKind[Any, Any], day: date, keys: list[int]) -> Iterator[_Stored]:
        # Their own rows first: parts that a collector writes meanwhile belong to reports that are not among them.
        own = [stored.row for stored in self._rows(kind.tables.report, day, keys)]
        parts: list[defaultdict[int, list[_StoredRow]]] = []
        for table in kind.tables.parts:
            by_report: defaultdict[int, list[_StoredRow]] = defaultdict(list)
            for stored in self._rows(table, day, keys):
                by_report[stored.row.report_key].append(stored)
            parts.append(by_report)
        for row in own:
            of_report = tuple(part[row.report_key] for part in parts)
            rows = Rows(kind.name, row, tuple(tuple(stored.row for stored in part) for part in of_report))
            yield _Stored(rows, of_report)

    def _rows(self, table: Table, day: date, keys: list[int]) -> list[_StoredRow]:
        sql = (
            f"SELECT {', '.join(table.columns)}, cityHash64({self._sorting_key(table)}, version) AS row_key"
            f" FROM {self._name(table)} FINAL WHERE day = {{day:Date}} AND report_key IN {{keys:Array(UInt64)}}"
        )
        answer = self._client.query_arrow(sql, parameters={"day": day, "keys": keys}, use_strings=True)
        row_keys = answer.column("row_key").to_pylist()
        return [_StoredRow(*each) for each in zip(from_arrow(answer, table), row_keys, strict=True)]

    def _replace(self, kind: ReportKind[Any, Any], changed: Sequence[tuple[_Stored, Rows]]) -> None:
        self._writer.write_again(kind.tables, [new for _, new in changed])
        for number, table in enumerate(kind.tables.parts):
            columns = [column.strip() for column in self._sorting_key(table).split(",")]
            gone = [
                row_key
                for stored, new in changed
                for row, row_key in _missing(stored.parts[number], new.parts[number], columns)
            ]
            keys = [new.report.report_key for _, new in changed]
            for some in in_parts(gone):
                self._client.command(
                    f"DELETE FROM {self._name(table)} WHERE day = {{day:Date}} AND report_key IN {{keys:Array(UInt64)}}"
                    f" AND cityHash64({self._sorting_key(table)}, version) IN {{gone:Array(UInt64)}}",
                    parameters={"day": changed[0][1].report.day, "keys": keys, "gone": some},
                )
        # A better proven copy may have come meanwhile, so that its rows were gone, and are there again.
        outdone = superseded([new for _, new in changed], table=self._name(kind.tables.report), client=self._client)
        self._writer.delete((*kind.tables.parts, kind.tables.report), outdone)

    def _sorting_key(self, table: Table) -> str:
        if table.name not in self._sorting_keys:
            sql = "SELECT sorting_key FROM system.tables WHERE database = {database:String} AND name = {name:String}"
            answer = self._client.query(sql, parameters={"database": self._database, "name": table.name})
            self._sorting_keys[table.name] = answer.result_rows[0][0]
        return self._sorting_keys[table.name]

    def _name(self, table: Table) -> str:
        return f"{self._database}.{table.name}"


def _differs(stored: Rows, new: Rows) -> bool:
    return stored.report != new.report or any(
        set(before) != set(now) for before, now in zip(stored.parts, new.parts, strict=True)
    )


def _missing(stored: list[_StoredRow], new: Sequence[Any], columns: list[str]) -> Iterator[_StoredRow]:
    """The stored rows in whose place there is none any more."""
    there = {tuple(getattr(row, column) for column in columns) for row in new}
    return (each for each in stored if tuple(getattr(each.row, column) for column in columns) not in there)
