"""When a message came that no signature says anything about."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from collector.dkim.times import arrival
from collector.envelope import Source

if TYPE_CHECKING:
    from collector.decode.message import Opened
    from collector.envelope import Envelope


def arrival_of(envelope: Envelope, opened: Opened, *, now: datetime) -> datetime:
    """When we or the mailbox accepted it; for a mail in a file, when the last server did (its uppermost Received).

    A moment that is yet to come did not happen: then it is now.
    """
    if envelope.source is Source.FILE and (delivered := _moment(opened.received)) is not None:
        return arrival(delivered, now=now)
    return arrival(envelope.accepted_at, now=now)


def _moment(received: str) -> datetime | None:
    """The date at the end of a Received field (RFC 5321, section 4.4), or None."""
    _, semicolon, date = received.rpartition(";")
    try:
        moment = parsedate_to_datetime(date) if semicolon else None
        return None if moment is None else moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
