"""Whom a message counts for while nothing authenticates it (spool/shares.py)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from collector.spool import Origin
from mailposture.domain_names import normalize, organizational_domain
from mailposture.net.client_networks import client_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.envelope import Envelope

_SEARCHED: Final = 64 * 1024  # bytes of a header; an author further down is not looked for
_HEADER_END: Final = re.compile(rb"\n\r?\n")
_FROM: Final = re.compile(rb"^from[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
_DOMAIN: Final = re.compile(rb"@([A-Za-z0-9._-]{1,253})(?![^\s>,;)\"])")
_LONGEST_AUTHOR: Final = 1000
_SITE: Final = 48  # bits of an IPv6 address


def origin_of(envelope: Envelope, body: bytes, *, signers: Sequence[str] = ()) -> Origin:
    """The origin of a message; `signers` are the domains whose DKIM signatures hold, though they prove no report."""
    if signers:
        return Origin(organizational_domain(signers[0]) or signers[0], _client(envelope), signed=True)
    if envelope.source.is_post:
        return Origin(_client(envelope))
    return Origin(_client(envelope), _claimed_author(body))


def _client(envelope: Envelope) -> str:
    if envelope.source.is_mailbox:
        return " ".join(envelope.name.split(" ")[:-2])  # the mailbox; the last two words are the mail's
    return client_network(envelope.peer, prefix=_SITE)


def _claimed_author(body: bytes) -> str:
    """The organizational domain of the From field, or empty."""
    end = _HEADER_END.search(body, 0, _SEARCHED)
    field = _FROM.search(body, 0, end.start() + 1 if end else _SEARCHED)
    domains = _DOMAIN.findall(field[1][:_LONGEST_AUTHOR]) if field else ()
    name = normalize(domains[-1].decode("ascii")) if domains else None
    return organizational_domain(name) or name if name else ""
