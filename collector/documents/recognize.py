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

UNREAD: Final = "unknown"  # the kind of what nobody could look into
_BY_MEDIA_TYPE: Final = {name.decode(): kind.name for kind in KINDS for name in kind.mail.media_types}


def report_in(body: bytes, *, limits: Limits = LIMITS) -> str | None:
    """The kind of the first report in a mail, or None if it holds none.

    What is labelled as a report counts as one: what is wrong with it, ingest shall say.
    """
    try:
        mail = read_mail(body, fields=(), limits=limits)
        for part in mail.parts:
            if kind := _BY_MEDIA_TYPE.get(part.media_type):
                return kind
        documents = open_mail(mail, limits=limits).documents
    except RejectedError:
        return None
    return next((each.kind for each in documents if BY_NAME[each.kind].is_evident(each.content)), None)
