"""HTTPS to the services of a mailbox: one request, one answer, and what its failures mean for the mailbox."""

from __future__ import annotations

import email.utils
import http.client
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import urllib3

from collector.documents.limits import LIMITS
from collector.sources.mailbox.bounded import Allowance, bounded
from collector.sources.mailbox.connecting import context_for
from collector.sources.mailbox.mailbox import LostError, Trouble

if TYPE_CHECKING:
    import socket
    from pathlib import Path

_TIMEOUT: Final = urllib3.Timeout(connect=30, read=60)  # seconds
_MOST_HEADERS: Final = 256 * 1024  # bytes
_USUAL_WAIT: Final = 60.0  # seconds, where a server asks for patience and does not say how much


class _Response(http.client.HTTPResponse):
    """Has an end, by bytes and by time."""

    def __init__(self, sock: socket.socket, *more: Any, **named: Any) -> None:
        super().__init__(sock, *more, **named)
        allowance = Allowance("the server")
        allowance.begin(_MOST_HEADERS + LIMITS.message_bytes)
        self.fp = bounded(self.fp, sock, allowance)


class _Http(urllib3.connection.HTTPConnection):
    response_class = _Response


class _Https(urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


def pool(authority: Path | None) -> urllib3.PoolManager:
    """Connections that verify their servers. Raises LostError if the authority's file cannot be read.

    Whatever reads an answer raises LostError too, if it has no end.
    """
    manager = urllib3.PoolManager(ssl_context=context_for(authority), timeout=_TIMEOUT, retries=False)
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


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
