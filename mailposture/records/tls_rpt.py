"""The TLSRPT record: where a domain asks senders to report TLS failures to (RFC 8460, section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from mailposture.domain_names import normalize
from mailposture.quoting import quoted
from mailposture.records.version_record import read_only_record

if TYPE_CHECKING:
    from collections.abc import Iterable

REPORT_PATH = "/v1/tls-reports/"  # where our HTTPS listener takes reports; the domain's token follows

_VERSION = "TLSRPTv1"
_VALUE = re.compile(r"[\x20-\x7e]*")
# RFC 3986 characters, less the three that RFC 8460, section 3 wants percent-encoded in a rua: "!" "," ";".
_SAFE = "%:/?#[]@$&'()*+="
_URI = re.compile(r"[A-Za-z0-9._~%:/?#\[\]@$&'()*+=-]+")


def record_name(domain: str) -> str:
    """Where the TXT record lives."""
    return f"_smtp._tls.{domain}"


def render_record(destinations: Iterable[str]) -> str:
    """The record's text for `mailto:` and `https:` URIs; what would end a URI early in a record is percent-encoded."""
    return f"v={_VERSION}; rua={','.join(quote(uri, safe=_SAFE) for uri in destinations)}"


@dataclass(frozen=True, kw_only=True)
class RecordReading:
    """What a sender makes of the TXT records at `_smtp._tls`: where reports go, or why it will send none."""

    destinations: tuple[str, ...]
    faults: tuple[str, ...]


def read_records(texts: Iterable[bytes]) -> RecordReading:
    """Read all TXT records at `_smtp._tls.<domain>` (RFC 8460, section 3)."""
    fields = read_only_record(texts, version=_VERSION, value=_VALUE)
    rua = fields.values.get("rua")
    if rua is None:
        return RecordReading(destinations=(), faults=fields.faults or ("the record has no `rua`",))
    destinations = tuple(uri.strip(" \t") for uri in rua.split(","))
    faults = [*fields.faults, *(fault for uri in destinations if (fault := _uri_fault(uri)) is not None)]
    return RecordReading(destinations=() if faults else destinations, faults=tuple(faults))


def comparable(uri: str) -> str:
    """A destination in a form that is equal for equal ones: of a mailbox its address, decoded and in lower case."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return uri
    return f"mailto:{unquote(rest.partition('?')[0]).lower()}"


def _uri_fault(uri: str) -> str | None:
    """Why a sender cannot report to this URI; None if it can."""
    if not _URI.fullmatch(uri):
        return f"rua {quoted(uri)} is not a URI (`!`, `,` and `;` in it must be percent-encoded)"
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"rua {quoted(uri)} is not a URI"
    if parts.scheme == "mailto":
        local, _, domain = parts.path.rpartition("@")
        return None if local and normalize(unquote(domain)) else f"rua {quoted(uri)} names no mailbox"
    if parts.scheme == "https":
        return None if parts.hostname else f"rua {quoted(uri)} names no host"
    return f"rua {quoted(uri)} is neither `mailto:` nor `https:`"
