"""The kinds of reports that there are. A new one is a folder beside `tls` and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reports.dmarc.kind import DMARC
from reports.tls.kind import TLS

if TYPE_CHECKING:
    from reports.document import Form
    from reports.kind import ReportKind

KINDS: Final[tuple[ReportKind[Any, Any], ...]] = (TLS, DMARC)
BY_NAME: Final = {kind.name: kind for kind in KINDS}


def recognize(form: Form, content: bytes) -> ReportKind[Any, Any] | None:
    """The kind that a document should be, or None: of several possible ones that which is evident, else the first."""
    possible = [kind for kind in KINDS if kind.recognize(form, content)]
    evident = (kind for kind in possible if len(possible) > 1 and kind.is_evident(content))
    return next(evident, possible[0] if possible else None)


def counted(kind: str) -> str:
    """What the numbers of a row of `attention` are of, as in ReportKind; our own probes count nothing."""
    return BY_NAME[kind].counts if kind in BY_NAME else ""
