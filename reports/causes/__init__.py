"""What can need attention, in words: causes of the view `attention`, by what finds them.

A category of failures is a cause too; the others are what only comparing reports, or their absence, or our own probes
can find.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from reports.causes.categories import FAILURE_CATEGORIES
from reports.causes.cause import About, Cause, Severity, worst_first
from reports.causes.dmarc import FROM_DMARC_REPORTS
from reports.causes.probes import FROM_PROBES
from reports.causes.tls import FROM_TLS_REPORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CAUSES",
    "FAILURE_CATEGORIES",
    "FROM_DMARC_REPORTS",
    "FROM_PROBES",
    "FROM_TLS_REPORTS",
    "About",
    "Cause",
    "Severity",
    "worst_first",
]

CAUSES: Final[Mapping[str, Cause]] = MappingProxyType(
    {cause.term: cause for cause in (*FAILURE_CATEGORIES, *FROM_TLS_REPORTS, *FROM_DMARC_REPORTS, *FROM_PROBES)}
)
