"""The rows of a stored report, made again from its original by today's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reports.document import Document, Opened
from reports.envelope import Envelope, Source, Trust
from reports.kind import Provenance

if TYPE_CHECKING:
    from reports.kind import ReportKind
    from reports.rows import Rows

# What a report is, how it came and why it is trusted: the original does not say, or it must not change any more.
_KEPT: Final = frozenset(
    {
        "day",
        "report_key",
        "content_key",
        "reporter",
        "reporter_proven",
        "submitter",
        "received_at",
        "source",
        "name",
        "peer",
        "trust",
        "dkim_domain",
        "policy_domains",
        "warnings",
        "original",
        "version",
    }
)


def rebuilt(stored: Rows, kind: ReportKind[Any, Any]) -> Rows:
    """The rows that the report becomes now; those it has, if nothing has changed. Raises RejectedError."""
    own = stored.report
    report = kind.read(Document(kind=kind.name, content=own.original))
    provenance = Provenance(
        opened=Opened(documents=()),
        envelope=Envelope(source=Source(own.source), received_at=own.received_at),
        arrived_at=own.received_at,
        trust=Trust(own.trust),
        signer=own.dkim_domain,
        spf_domain=own.reporter if own.trust == Trust.SPF else "",
    )
    (rows,) = kind.rows([(report, kind.attribution_of(report, stored))], provenance)
    parts = tuple(tuple(_as_before(row, own) for row in part) for part in rows.parts)
    return rows._replace(report=_as_before(rows.report, own), parts=parts)


def _as_before(row: Any, own: Any) -> Any:
    """A row with the columns that do not change."""
    return row._replace(**{name: getattr(own, name) for name in _KEPT.intersection(row._fields)})
