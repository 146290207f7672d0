"""For how long what passes DMARC speaks for its source: in which pile a message belongs depends on it."""

from __future__ import annotations

from typing import Final

BEFORE: Final = 30  # days before its day that evidence is good for
AFTER: Final = 90  # and after it
WORDS: Final = {"evidence_before": str(BEFORE), "evidence_after": str(AFTER)}  # of the views
