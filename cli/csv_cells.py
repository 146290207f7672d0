"""CSV for spreadsheets: nothing that others wrote becomes a formula there.

Names and texts of reports are written by whoever sends them, and a spreadsheet runs what starts with one of `= + - @`.
Where it takes another separator than the comma (`;` in half of Europe), or splits at one within quotes, the middle of a
cell is the start of one too: lists, and names with such a character in them.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FIRST = r"=+\-@\uff1d\uff0b\uff0d\uff20"  # the last four are their wide forms, which a spreadsheet takes as well
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
# No runs without an end, for a cell may be a whole report of megabytes.
_BEFORE, _AFTER = r"(?:^|[,;|\t\r\n])[\s\"'\[({]{0,9}", r"[\s\"'\])}]{0,9}(?:$|[,;|\t\r\n])"
# At the start, or behind a separator; but a number stays a number.
_FORMULA = re.compile(rf"({_BEFORE})(?=[{_FIRST}])(?!{_NUMBER}{_AFTER})")


def guarded(cell: str) -> str:
    """The cell with an apostrophe before all that could be taken for a formula."""
    safe = _FORMULA.sub(r"\1'", cell)
    return f"'{safe}" if safe.startswith(("\t", "\r", "\n")) else safe


def lines(rows: Iterable[Iterable[object]]) -> Iterator[str]:
    """Rows as lines of CSV (RFC 4180, but for the line's end), their texts guarded."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in rows:
        writer.writerow(guarded(value) if isinstance(value, str) else value for value in row)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def guard(answer: IO[bytes]) -> Iterator[str]:
    """CSV as ClickHouse writes it, line by line, guarded. Bytes that are no UTF-8 are surrogates."""
    csv.field_size_limit(sys.maxsize)  # a column may hold whole reports
    yield from lines(csv.reader(io.TextIOWrapper(answer, "utf-8", "surrogateescape", newline="")))
