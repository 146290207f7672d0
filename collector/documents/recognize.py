"""Whether a mail holds a report, by the code that decoding uses: for mailboxes where other mail lies beside reports.

Pure, and under the limits of decoding. Reports are not read for it: that takes a hundred times their bytes in memory.
"""

from __future__ import annotations

from typing import Final

from collector.documents.limits import LIMITS, Limits
from collector.documents.mail import read_mail
from collector.documents.message import open_mail
from reports.kinds import BY_NAME, KINDS
from reports.rejection import RejectedError

_MEDIA_TYPES: Final = frozenset(name.decode() for kind in KINDS for name in kind.mail.media_types)


def holds_report(body: bytes, *, limits: Limits = LIMITS) -> bool:
    """Whether something in a mail is a report, or is labelled as one: what is wrong with that, ingest shall say."""
    try:
        mail = read_mail(body, fields=(), limits=limits)
        if any(part.media_type in _MEDIA_TYPES for part in mail.parts):
            return True
        documents = open_mail(mail, limits=limits).documents
    except RejectedError:
        return False
    return any(BY_NAME[document.kind].is_evident(document.content) for document in documents)
