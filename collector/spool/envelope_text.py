"""An envelope as the spool stores it: compact JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from reports.envelope import Envelope, Source


def encode(envelope: Envelope) -> bytes:
    """Equal envelopes give equal bytes."""
    return orjson.dumps(
        (
            envelope.source.value,
            envelope.received_at,
            _storable(envelope.name),
            envelope.peer,
            _storable(envelope.mail_from),
            [_storable(recipient) for recipient in envelope.recipients],
            envelope.token_domain,
            envelope.by_operator,
            envelope.from_trusted_mailbox,
            envelope.delivered_at,
            envelope.authserv_id,
        )
    )


def decode(text: bytes) -> Envelope:
    (
        source,
        received_at,
        name,
        peer,
        mail_from,
        recipients,
        token_domain,
        by_operator,
        trusted,
        delivered_at,
        authserv_id,
    ) = _values(text)
    return Envelope(
        source=Source(source),
        received_at=datetime.fromisoformat(received_at),
        name=name,
        peer=peer,
        mail_from=mail_from,
        recipients=tuple(recipients),
        token_domain=token_domain,
        by_operator=by_operator,
        from_trusted_mailbox=trusted,
        delivered_at=datetime.fromisoformat(delivered_at) if delivered_at else None,
        authserv_id=authserv_id,
    )


def _values(text: bytes) -> Any:
    return orjson.loads(text)


def _storable(text: str) -> str:
    """Untrusted bytes decoded with surrogateescape are not valid Unicode: escape them instead of failing."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
