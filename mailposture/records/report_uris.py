"""Where reports are sent to: the URIs of a `rua` (RFC 8460, section 3; RFC 9990, section 3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from mailposture.domain_names import normalize
from mailposture.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Collection

# RFC 3986 characters, less the three that a rua wants percent-encoded: "!" "," ";".
_SAFE = "%:/?#[]@$&'()*+="
_URI = re.compile(r"[A-Za-z0-9._~%:/?#\[\]@$&'()*+=-]+")


def encoded(uri: str) -> str:
    """The URI for a record: what would end it early there is percent-encoded."""
    return quote(uri, safe=_SAFE)


def comparable(uri: str) -> str:
    """A URI in a form that is equal for equal ones: of a mailbox its address, decoded and in lower case."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return uri
    return f"mailto:{unquote(rest.partition('?')[0]).lower()}"


def mail_host(uri: str) -> str | None:
    """The domain that takes the mail of a `mailto:` URI; None of others."""
    scheme, _, address = comparable(uri).partition(":")
    return normalize(address.rpartition("@")[2]) if scheme == "mailto" and "@" in address else None


def uri_fault(uri: str, *, schemes: Collection[str]) -> str | None:
    """Why a sender cannot report to this URI; None if it can."""
    if not _URI.fullmatch(uri):
        return f"rua {quoted(uri)} is not a URI (`!`, `,` and `;` in it must be percent-encoded)"
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"rua {quoted(uri)} is not a URI"
    if parts.scheme not in schemes:
        wanted = " nor ".join(f"`{scheme}:`" for scheme in schemes)
        return f"rua {quoted(uri)} is {'neither' if len(schemes) > 1 else 'not'} {wanted}"
    if parts.scheme == "mailto":
        return None if parts.path.rpartition("@")[0] and mail_host(uri) else f"rua {quoted(uri)} names no mailbox"
    return None if parts.hostname else f"rua {quoted(uri)} names no host"
