"""Rows into ClickHouse: batches by Arrow, one partition at a time, the report's own row last.

An insert is atomic only within one partition, and nothing makes an insert exactly-once. So rows are keyed by the
report and read with FINAL: whenever in doubt the same rows are written again, and count once.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from clickhouse_connect.driver.exceptions import DatabaseError

from collector.ingest.copies import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clickhouse_connect.driver import Client

    from collector.ingest.copies import Stale
    from reports.rejection import RejectionRow
    from reports.tls.rows import FailureRow, PolicyRow, ReportRow, Rows

# ClickHouse splits an insert above 1,048,576 rows, and only an unsplit one is atomic; a quarter of that bounds memory.
_ROWS_AN_INSERT = 262_144
_KEYS_A_COMMAND = 2_000  # ClickHouse takes no parameter of more than 128 KiB

_TEXT, _TEXTS, _COUNT, _FLAG = pa.string(), pa.list_(pa.string()), pa.uint64(), pa.bool_()
_DAY, _SECOND, _MILLISECOND = pa.date32(), pa.timestamp("s", "UTC"), pa.timestamp("ms", "UTC")
_ADDRESS = pa.binary(16)  # IPv6, or IPv4 mapped into it: packed bytes are the form that costs least to convert

_REPORTS = pa.schema(
    {
        "day": _DAY,
        "report_key": _COUNT,
        "content_key": _COUNT,
        "reporter": _TEXT,
        "reporter_proven": _FLAG,
        "organization": _TEXT,
        "contact": _TEXT,
        "submitter": _TEXT,
        "report_id": _TEXT,
        "period_start": _SECOND,
        "period_end": _SECOND,
        "received_at": _MILLISECOND,
        "source": _TEXT,
        "name": _TEXT,
        "peer": _TEXT,
        "trust": _TEXT,
        "dkim_domain": _TEXT,
        "policy_domains": _TEXTS,
        "successful_sessions": _COUNT,
        "failed_sessions": _COUNT,
        "warnings": _TEXTS,
        "original": pa.binary(),
        "version": pa.uint8(),
    }
)
_POLICIES = pa.schema(
    {
        "policy_domain": _TEXT,
        "day": _DAY,
        "report_key": _COUNT,
        "policy_index": pa.uint16(),
        "reported_policy_domain": _TEXT,
        "reporter": _TEXT,
        "reporter_proven": _FLAG,
        "organization": _TEXT,
        "policy_type": _TEXT,
        "sts_mode": _TEXT,
        "policy_strings": _TEXTS,
        "mx_hosts": _TEXTS,
        "successful_sessions": _COUNT,
        "failed_sessions": _COUNT,
        "counts": _FLAG,
        "trust": _TEXT,
        "version": pa.uint8(),
    }
)
_FAILURES = pa.schema(
    {
        "policy_domain": _TEXT,
        "day": _DAY,
        "report_key": _COUNT,
        "policy_index": pa.uint16(),
        "failure_index": pa.uint32(),
        "reporter": _TEXT,
        "reporter_proven": _FLAG,
        "organization": _TEXT,
        "policy_type": _TEXT,
        "sts_mode": _TEXT,
        "result_type": _TEXT,
        "category": _TEXT,
        "severity": _TEXT,
        "sending_mta_ip": _ADDRESS,
        "receiving_mx": _TEXT,
        "receiving_mx_helo": _TEXT,
        "receiving_ip": _ADDRESS,
        "reason_code": _TEXT,
        "additional_information": _TEXT,
        "failed_sessions": _COUNT,
        "counts": _FLAG,
        "trust": _TEXT,
        "version": pa.uint8(),
    }
)
_REJECTIONS = pa.schema(
    {
        "received_at": _MILLISECOND,
        "held_id": _TEXT,
        "source": _TEXT,
        "name": _TEXT,
        "peer": _TEXT,
        "size": _COUNT,
        "reason": _TEXT,
        "detail": _TEXT,
        "messages": _COUNT,
    }
)

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

        A report's row in tls_reports comes after its policies and failures: who sees it, sees all of it. A copy of a
        report that is stored is not written again, unless it is better proven. Returns how many were copies.
        Raises RowsRefusedError, or else what clickhouse_connect raises: then any part may have been written, and
        writing again is right.
        """
        settled = settle(list(reports), client=self._client)
        new = settled.write
        self._delete(("tls_policies", "tls_failures"), settled.moved)
        self._insert("tls_policies", _POLICIES, [row for rows in new for row in rows.policies], _report_month)
        self._insert("tls_failures", _FAILURES, [row for rows in new for row in rows.failures], _report_month)
        self._insert("tls_reports", _REPORTS, [rows.report for rows in new], _report_month)
        # In the order of writing turned around: as long as its own row is there, a copy is found again.
        self._delete(("tls_policies", "tls_failures", "tls_reports"), settled.superseded)
        return settled.duplicates

    def _delete(self, tables: Sequence[str], stale: Sequence[Stale]) -> None:
        """Together: a delete takes as long for one row as for many, and untrusted senders can cause it."""
        for table in tables:
            for start in range(0, len(stale), _KEYS_A_COMMAND):
                some = stale[start : start + _KEYS_A_COMMAND]
                self._client.command(
                    f"DELETE FROM {table} WHERE day IN {{days:Array(Date)}} AND report_key IN {{keys:Array(UInt64)}}"
                    " AND version < transform(report_key, {keys:Array(UInt64)}, {below:Array(UInt8)}, 0)",
                    parameters={
                        "days": sorted({each.day for each in some}),
                        "keys": [each.report_key for each in some],
                        "below": [each.below for each in some],
                    },
                )

    def reject(self, rejections: Iterable[RejectionRow]) -> None:
        """Write rows of `rejections`; the same promises as write()."""
        self._insert("rejections", _REJECTIONS, list(rejections), _arrival_month)

    def _insert(self, table: str, schema: pa.Schema, rows: list[Any], partition_of: Callable[[Any], int]) -> None:
        rows.sort(key=partition_of)
        for _, partition in groupby(rows, key=partition_of):
            same_month = list(partition)
            for start in range(0, len(same_month), _ROWS_AN_INSERT):
                self._insert_part(table, _as_arrow(same_month[start : start + _ROWS_AN_INSERT], schema))

    def _insert_part(self, table: str, rows: pa.Table) -> None:
        try:
            self._client.insert_arrow(table, rows, database=self._database)
        except DatabaseError as error:
            if error.code in _REFUSES_ROWS:
                raise RowsRefusedError(str(error)) from error
            raise


def _as_arrow(rows: list[Any], schema: pa.Schema) -> pa.Table:
    try:
        columns = zip(*rows, strict=True)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise RowsRefusedError(f"a value does not fit its column: {error}") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def _report_month(row: PolicyRow | FailureRow | ReportRow) -> int:
    """The partition of a row, as toYYYYMM(day) names it."""
    return row.day.year * 100 + row.day.month


def _arrival_month(row: RejectionRow) -> int:
    return row.received_at.year * 100 + row.received_at.month
