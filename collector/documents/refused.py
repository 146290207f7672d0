"""Reports that are never read, such as those on a single mail, which hold somebody's personal data."""

from __future__ import annotations

import re
from typing import Final

from reports.kinds import KINDS
from reports.rejection import RejectedError

_REFUSED: Final = {media_type: fault for kind in KINDS for media_type, fault in kind.mail.refused.items()}
_REPORT_TYPE: Final = re.compile(r"""\breport-type[ \t]*=[ \t\r\n]*"?([A-Za-z0-9.+_-]{1,60})""", re.IGNORECASE)


def refuse_part(media_type: str) -> None:
    """Raise RejectedError if parts of this media type are never read."""
    if media_type in _REFUSED:
        raise RejectedError.of(_REFUSED[media_type])


def refuse_report_type(report_type: str) -> None:
    """The same of a multipart/report, which names the media type of its second part (RFC 6522, section 3)."""
    refuse_part(f"message/{report_type.lower()}")


def refuse_content_type(written: str) -> None:
    """The same of a Content-Type as it is written in a header that nothing proves."""
    if found := _REPORT_TYPE.search(written[:2000]):
        refuse_report_type(found[1])
