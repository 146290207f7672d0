"""Rows into ClickHouse: batches by Arrow, the reports' own rows last.

An insert is atomic only within one partition, and nothing makes an insert exactly-once. So rows are keyed by the
report and read with FINAL: whenever in doubt the same rows are written again, and count once. All rows of a report in
one table are of one day, so in one partition; an insert over several that ends halfway leaves whole reports there, as
one insert for each would, at several times the price.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from clickhouse_connect.driver.exceptions import DatabaseError

from collector.ingest.arrow import as_arrow
from collector.ingest.copies import settle
from mailposture.clickhouse.parameters import in_parts
from reports.kinds import BY_NAME
from reports.rejection import RejectionRow
from reports.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clickhouse_connect.driver import Client

    from collector.ingest.copies import Stale
    from reports.kind import ReportTables
    from reports.rows import Rows

# ClickHouse splits an insert above 1,048,576 rows; a quarter of that bounds memory.
_ROWS_AN_INSERT = 262_144
_MONTHS_AN_INSERT = 24  # ClickHouse takes up to 100 partitions; each has files of its own

REJECTIONS: Final = Table("rejections", RejectionRow, day_of=lambda row: row.received_at.date())

# ClickHouse's codes for "not these rows": parsing, types, ranges, nulls, constraints. Any other error may pass.
_REFUSES_ROWS = frozenset({6, 27, 33, 41, 53, 69, 70, 117, 131, 321, 349, 429, 441, 469})


class RowsRefusedError(Exception):
    """Something in the rows themselves cannot be stored: writing them again is pointless."""


class Writer:
    """Writes rows of reports and rejections; not for use by two threads at once."""

    def __init__(self, *, client: Client, database: str) -> None:
        self._client = client
        self._database = database

    def write(self, reports: Iterable[Rows]) -> int:
        """Write the rows of reports; when it returns, they are durable and queryable.

        A report's own row comes last: who sees it, sees all of it. A copy of a
        report that is stored is not written again, unless it is better proven. Returns how many were copies.
        Raises RowsRefusedError, or else what clickhouse_connect raises: then any part may have been written, and
        writing again is right.
        """
        by_kind: defaultdict[str, list[Rows]] = defaultdict(list)
        for rows in reports:
            by_kind[rows.kind].append(rows)
        return sum(self._write(BY_NAME[kind].tables, some) for kind, some in by_kind.items())

    def _write(self, tables: ReportTables, reports: list[Rows]) -> int:
        settled = settle(reports, table=f"{self._database}.{tables.report.name}", client=self._client)
        self.delete(tables.parts, settled.moved)
        self.write_again(tables, settled.write)
        # In the order of writing turned around: as long as its own row is there, a copy is found again.
        self.delete((*tables.parts, tables.report), settled.superseded)
        return settled.duplicates

    def write_again(self, tables: ReportTables, reports: Sequence[Rows]) -> None:
        """Write other rows of reports of one kind that are stored, their own rows last. Raises the same as write()."""
        for number, table in enumerate(tables.parts):
            self._insert(table, [row for rows in reports for row in rows.parts[number]])
        self._insert(tables.report, [rows.report for rows in reports])

    def delete(self, tables: Sequence[Table], stale: Sequence[Stale]) -> None:
        """Delete rows together: that takes as long for one as for many, and untrusted senders can cause it."""
        for table in tables:
            for some in in_parts(stale):
                self._client.command(
                    f"DELETE FROM {self._database}.{table.name}"
                    " WHERE day IN {days:Array(Date)} AND report_key IN {keys:Array(UInt64)}"
                    " AND version < transform(report_key, {keys:Array(UInt64)}, {below:Array(UInt8)}, 0)",
                    parameters={
                        "days": sorted({each.day for each in some}),
                        "keys": [each.report_key for each in some],
                        "below": [each.below for each in some],
                    },
                )

    def reject(self, rejections: Iterable[RejectionRow]) -> None:
        """Write rows of `rejections`; the same promises as write()."""
        self._insert(REJECTIONS, list(rejections))

    def _insert(self, table: Table, rows: list[Any]) -> None:
        by_month: defaultdict[tuple[int, int], list[Any]] = defaultdict(list)
        for row in rows:
            day = table.day_of(row)
            by_month[day.year, day.month].append(row)
        months = sorted(by_month)
        for first in range(0, len(months), _MONTHS_AN_INSERT):
            some = [row for month in months[first : first + _MONTHS_AN_INSERT] for row in by_month[month]]
            for start in range(0, len(some), _ROWS_AN_INSERT):
                self._insert_part(table, some[start : start + _ROWS_AN_INSERT])

    def _insert_part(self, table: Table, rows: list[Any]) -> None:
        try:
            arrow = as_arrow(rows, table)
        except ValueError as error:
            raise RowsRefusedError(str(error)) from error
        try:
            self._client.insert_arrow(table.name, arrow, database=self._database)
        except DatabaseError as error:
            if error.code in _REFUSES_ROWS:
                raise RowsRefusedError(str(error)) from error
            raise
