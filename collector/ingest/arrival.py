"""When a message came that no signature says anything about."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from collector.dkim.times import arrival

if TYPE_CHECKING:
    from reports.document import Opened
    from reports.envelope import Envelope

_MAILDIR_FILE: Final = re.compile(r"/(?:cur|new)/(\d{9,10})\.[^/!]+$")


def arrival_of(envelope: Envelope, opened: Opened, *, now: datetime) -> datetime:
    """When we or the mailbox accepted it; for a mail in a file, when the last server did.

    That is in its uppermost Received field, or in the name of a file in a Maildir. A moment that is yet to come did not
    happen: then it is now.
    """
    delivered = (_received(opened.received) or _named(envelope.name)) if envelope.source.is_file else None
    return arrival(delivered or envelope.accepted_at, now=now)


def _named(path: str) -> datetime | None:
    """The time in the name of a Maildir's file, or None: `…/cur/1795392000.M1P2.host:2,S`."""
    found = _MAILDIR_FILE.search(path)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None


def _received(received: str) -> datetime | None:
    """The date at the end of a Received field (RFC 5321, section 4.4), or None."""
    _, semicolon, date = received.rpartition(";")
    try:
        moment = parsedate_to_datetime(date) if semicolon else None
        return None if moment is None else moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
