"""What ClickHouse says about what it refuses, in its own words alone.

Its errors carry the driver's and the server's own frames, the query again, and lists of every word that the parser
would have taken.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from urllib3.exceptions import ReadTimeoutError

from mailposture.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAME = re.compile(r".*?DB::(?:Exception|NetException|ErrnoException): ", re.DOTALL)
_TRAILER = re.compile(r"\s*\([A-Z][A-Z0-9_]+\)\s*\(version .*", re.DOTALL)
# Where the reason ends and ClickHouse repeats the query, or tells of its insides.
_ASIDE = re.compile(r"[.:]?\s+(?i:in scope|in query|while executing|expected one of:)\s.*", re.DOTALL)
_UNREACHED = "Error HTTP"  # how the driver begins to tell of a request that came to nothing
_URL = re.compile(r"\s*\(for url \S+\)$")
_LONGEST = 600


def silent(error: BaseException) -> bool:
    """Whether ClickHouse took the connection and then said nothing for as long as we wait: it hangs, or is paused."""
    return any(isinstance(each, ReadTimeoutError) for each in _chain(error))


def reason(error: Exception) -> str:
    """What ClickHouse itself says, or the system when it is not reached, on one line without the frames around it.

    Of any other exception, its own words.
    """
    if silent(error):
        return "it takes connections and does not answer"
    text = str(error).strip()
    if text.startswith(_UNREACHED) and (below := _of_system(error)):
        text = below
    text = _TRAILER.sub("", _FRAME.sub("", text, count=1))
    text = _URL.sub("", text.removeprefix("HTTP driver received "))
    said = printable(" ".join(_ASIDE.sub("", text).split())).rstrip(".: ")[:_LONGEST]
    return said or type(error).__name__


def _of_system(error: BaseException) -> str:
    """What the system said first, below the exceptions of the driver and of its HTTP library; empty if nothing."""
    said = ""
    for each in _chain(error):
        if isinstance(each, OSError):
            said = each.strerror or str(each)
    return said


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it comes from, the first cause last."""
    below: BaseException | None = error
    while below is not None:
        yield below
        # urllib3 wraps a fault of TLS without naming it as the cause.
        below = below.__cause__ or next((given for given in below.args if isinstance(given, BaseException)), None)
