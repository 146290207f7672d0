"""Tables and their rows: a column is declared in the row's type and, for ClickHouse, in the schema; nowhere else.

A row is a NamedTuple whose fields are the columns, in order. Their annotations say what they are:

    class Row(NamedTuple):
        day: Day
        report_key: UInt64
        received_at: Milliseconds
        warnings: tuple[str, ...]
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Column(StrEnum):
    """What a column holds."""

    TEXT = "text"
    TEXTS = "texts"
    BYTES = "bytes"
    ADDRESS = "address"  # 16 bytes: IPv6, or IPv4 mapped into it; packed is the form that costs least to convert
    FLAG = "flag"
    DAY = "day"
    SECONDS = "seconds"  # since 1970, UTC
    MILLISECONDS = "milliseconds"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"


UInt8 = Annotated[int, Column.UINT8]
UInt16 = Annotated[int, Column.UINT16]
UInt32 = Annotated[int, Column.UINT32]
UInt64 = Annotated[int, Column.UINT64]
Seconds = Annotated[datetime, Column.SECONDS]
Milliseconds = Annotated[datetime, Column.MILLISECONDS]
Address = Annotated[bytes, Column.ADDRESS]
Day = Annotated[date, Column.DAY]

_PLAIN: Final[Mapping[Any, Column]] = {
    str: Column.TEXT,
    bytes: Column.BYTES,
    bool: Column.FLAG,
    tuple[str, ...]: Column.TEXTS,
}


def _day(row: Any) -> date:
    day: date = row.day
    return day


@dataclass(frozen=True)
class Table:
    """A table that rows are written to."""

    name: str
    row: type[Any]  # a NamedTuple
    day_of: Callable[[Any], date] = _day  # of a row: its month is the partition

    @cached_property
    def columns(self) -> Mapping[str, Column]:
        """Name → what it holds, in order."""
        return {name: _column(hint) for name, hint in get_type_hints(self.row, include_extras=True).items()}


def _column(hint: Any) -> Column:
    for said in getattr(hint, "__metadata__", ()):
        if isinstance(said, Column):
            return said
    return _PLAIN[hint]
