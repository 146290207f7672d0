"""What can need attention beside the categories of failures, in words: causes of the view `attention`.

A category of failures (reports/tls/failure_words.py) is a cause too. These are the others: what only comparing reports,
or their absence, or our own probes can find.
"""

from __future__ import annotations

from typing import Final

from reports.causes.cause import About, Cause, Severity
from reports.causes.dmarc import FROM_DMARC_REPORTS
from reports.causes.probes import FROM_PROBES
from reports.causes.tls import FROM_TLS_REPORTS

__all__ = ["CAUSES", "FROM_DMARC_REPORTS", "FROM_PROBES", "FROM_TLS_REPORTS", "About", "Cause", "Severity"]

CAUSES: Final = (*FROM_TLS_REPORTS, *FROM_DMARC_REPORTS, *FROM_PROBES)
