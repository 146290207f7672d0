"""HTTPS to the services of a mailbox: one request, one answer, and what its failures mean for the mailbox."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import urllib3

from collector.sources.mailbox.connecting import context_for
from collector.sources.mailbox.mailbox import LostError, Trouble

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT: Final = urllib3.Timeout(connect=30, read=60)  # seconds
_USUAL_WAIT: Final = 60.0  # seconds, where a server asks for patience and does not say how much


def pool(authority: Path | None) -> urllib3.PoolManager:
    """Connections that verify their servers. Raises LostError if the authority's file cannot be read."""
    return urllib3.PoolManager(ssl_context=context_for(authority), timeout=_TIMEOUT, retries=False)


def read(response: urllib3.BaseHTTPResponse, most: int) -> bytes:
    """The beginning of an answer, as it came: we ask for no compression, which could make much of little."""
    return response.read(most, decode_content=False)


def throttled(response: urllib3.BaseHTTPResponse, server: str) -> LostError | None:
    """Set if a server wants to be left alone for a while (RFC 6585, section 4; RFC 9110, section 10.2.3)."""
    if response.status not in (429, 503):
        return None
    wait = _retry_after(response.headers.get("Retry-After", ""))
    return LostError(f"{server} answers {response.status}: asked too often, or busy", Trouble.THROTTLED, wait=wait)


def _retry_after(value: str) -> float:
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return _USUAL_WAIT
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
