"""Rows as Arrow, the form in which ClickHouse takes them fastest."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from reports.table import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reports.table import Table

_TYPES: Final[Mapping[Column, Any]] = {
    Column.TEXT: pa.string(),
    Column.TEXTS: pa.list_(pa.string()),
    Column.BYTES: pa.binary(),
    Column.ADDRESS: pa.binary(16),
    Column.FLAG: pa.bool_(),
    Column.DAY: pa.date32(),
    Column.SECONDS: pa.timestamp("s", "UTC"),
    Column.MILLISECONDS: pa.timestamp("ms", "UTC"),
    Column.UINT8: pa.uint8(),
    Column.UINT16: pa.uint16(),
    Column.UINT32: pa.uint32(),
    Column.UINT64: pa.uint64(),
}


def as_arrow(rows: Sequence[Any], table: Table) -> pa.Table:
    """Rows of a table as Arrow. Raises ValueError if a value does not fit its column."""
    schema = _schema(table)
    try:
        columns = zip(*rows, strict=True)
        arrays = [pa.array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise ValueError(f"a value does not fit its column: {error}") from error
    return pa.Table.from_arrays(arrays, schema=schema)


def from_arrow(answer: pa.Table, table: Table) -> list[Any]:
    """Rows of a table out of ClickHouse's answer, which has its columns and maybe more."""
    columns = (_values(answer.column(name), kind) for name, kind in table.columns.items())
    return [table.row(*values) for values in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray, kind: Column) -> list[Any]:
    if kind is Column.SECONDS:  # ClickHouse hands these out as numbers
        column = column.cast(pa.int64())
    values: list[Any] = column.cast(_TYPES[kind]).to_pylist()
    return [tuple(texts) for texts in values] if kind is Column.TEXTS else values


@lru_cache
def _schema(table: Table) -> pa.Schema:
    return pa.schema([(name, _TYPES[column]) for name, column in table.columns.items()])
