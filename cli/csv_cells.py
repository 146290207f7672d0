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
_SEPARATOR = r",;|\t\r\n"
# What a spreadsheet may pass over: blanks, brackets, quotes, and what nobody sees, such as a byte order mark.
_PASSED = r"\s\"'\[\](){}\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
# Looked for only from where such a run starts: a cell may be a whole report of megabytes.
_RUN = rf"(?:\A|(?<![{_PASSED}{_SEPARATOR}]))[{_PASSED}{_SEPARATOR}]*"
_NUMBER = rf"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[{_PASSED}]*(?:\Z|[{_SEPARATOR}])"
_FORMULA = re.compile(rf"({_RUN})(?=[{_FIRST}])(?!{_NUMBER})")
_STARTS_A_CELL = re.compile(rf"[{_SEPARATOR}]")


def guarded(cell: str) -> str:
    """The cell with an apostrophe before all that could be taken for a formula; but a number stays a number."""
    safe = _FORMULA.sub(_guard_run, cell)
    return f"'{safe}" if safe.startswith(("\t", "\r", "\n")) else safe


def _guard_run(found: re.Match[str]) -> str:
    starts = found.start() == 0 or _STARTS_A_CELL.search(found[1])
    return f"{found[1]}'" if starts else found[1]


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
