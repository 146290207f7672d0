"""The TLSRPT record: where a domain asks senders to report TLS failures to (RFC 8460, section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailposture.records.report_uris import encoded, uri_fault
from mailposture.records.version_record import read_only_record

if TYPE_CHECKING:
    from collections.abc import Iterable

REPORT_PATH = "/v1/tls-reports/"  # where our HTTPS listener takes reports; the domain's token follows

_VERSION = "TLSRPTv1"
_VALUE = re.compile(r"[\x20-\x7e]*")
_SCHEMES = ("mailto", "https")


def record_name(domain: str) -> str:
    """Where the TXT record lives."""
    return f"_smtp._tls.{domain}"


def render_record(destinations: Iterable[str]) -> str:
    """The record's text for `mailto:` and `https:` URIs; what would end a URI early in a record is percent-encoded."""
    return f"v={_VERSION}; rua={','.join(map(encoded, destinations))}"


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
    faults = [
        *fields.faults,
        *(fault for uri in destinations if (fault := uri_fault(uri, schemes=_SCHEMES)) is not None),
    ]
    return RecordReading(destinations=() if faults else destinations, faults=tuple(faults))
