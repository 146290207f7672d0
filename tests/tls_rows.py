"""From a TLS report that was read to its rows, as ingest makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from reports.envelope import Trust
from reports.kind import Provenance
from reports.tls.kind import TLS

if TYPE_CHECKING:
    from mailposture.ownership import Ownership
    from reports.document import Opened
    from reports.envelope import Envelope
    from reports.tls.decode import TlsReport
    from reports.tls.rows import TlsRows


def tls_rows(
    report: TlsReport,
    ownership: Ownership,
    *,
    opened: Opened,
    envelope: Envelope,
    attributed_as: Envelope | None = None,
    trust: Trust = Trust.NONE,
    signer: str = "",
) -> TlsRows:
    """The rows of one report; `attributed_as` where it is attributed by another envelope than it came in."""
    ours = TLS.attribute(report, opened, attributed_as or envelope, ownership)
    provenance = Provenance(
        opened=opened, envelope=envelope, arrived_at=envelope.accepted_at, trust=trust, signer=signer
    )
    (rows,) = TLS.rows([(report, ours)], provenance)
    return cast("TlsRows", rows)
