"""What went wrong between us and ClickHouse, on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urllib3.exceptions import ReadTimeoutError

from mailposture.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEFORE_ITS_WORDS = "server response: "  # how the driver hands on what the server says
_LONGEST = 600


def silent(error: BaseException) -> bool:
    """Whether ClickHouse took the connection and then said nothing for as long as we wait: it hangs, or is paused."""
    return any(isinstance(each, ReadTimeoutError) for each in _chain(error))


def reason(error: Exception) -> str:
    """The first line of what ClickHouse says, with its code, or what the system says when it is not reached.

    Of any other exception, its own words.
    """
    if silent(error):
        return "it accepts connections but does not respond"
    text = str(error)
    if getattr(error, "code", None) is not None:
        text = text.partition(_BEFORE_ITS_WORDS)[2] or text
    else:
        text = _of_system(error) or text
    first = next(iter(text.strip().splitlines()), "")
    return printable(first)[:_LONGEST] or type(error).__name__


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
