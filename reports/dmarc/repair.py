"""XML that is not well-formed, made so where it is clear how.

Never by a parser that recovers: such a parser drops what follows the fault, silently. A report is repaired as text, by
a few rules that change nothing which says anything, and is then parsed strictly again, every element in its place and
no text between them (read_elements), or rejected. So a tag that is beyond repair takes no value and no record with it.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from reports.dmarc.elements import NAMES
from reports.dmarc.encoding import decoded
from reports.dmarc.limits import STRAYS

_PREFIX: Final = r"(?:[A-Za-z_][\w.-]{0,40}:)?"
_KNOWN: Final = rf"/?{_PREFIX}(?:{'|'.join(sorted(NAMES))})(?=[\s/>])"
_DECLARATION: Final = re.compile(r"<\?xml[^>]{0,200}>")
_END: Final = re.compile(rf"</{_PREFIX}feedback\s*>", re.IGNORECASE)
_KNOWN_TAG: Final = re.compile(f"<{_KNOWN}")
_CLOSED: Final = re.compile(rf"</({_PREFIX}[A-Za-z_][\w.-]{{0,40}})\s*>", re.ASCII)
_FORBIDDEN: Final = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, section 2.2
_LOST: Final = "\ufffd"
_LOST_IN_TAG: Final = re.compile(f"<[^<>]*{_LOST}")
_STRAY_LESS_THAN: Final = re.compile(
    rf"<(?!{_KNOWN}|!--|!\[CDATA\[|\?)(?P<tag>/?(?P<name>{_PREFIX}[A-Za-z_][\w.-]{{0,40}})(?:[\s/][^<>]*)?>)?",
    re.ASCII,
)
_REFERENCE: Final = re.compile(r"&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));")
_STRAY_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")


def repaired(content: bytes) -> bytes | None:
    """The report in UTF-8 as it should be well-formed; None if there is nothing to repair.

    What stands around the document goes, unless it is of a report as well. Characters that XML forbids become �, be
    they written or referred to. Each `<` and `&` that begins nothing is escaped, and the beginning of an element of
    another schema goes if nothing ends it. Other elements of other schemas stay, so that what is in them does not
    become ours.
    """
    text = decoded(content)
    start, end = text.find("<"), _END.search(text)
    if start < 0 or end is None or "<!DOCTYPE" in text or _KNOWN_TAG.search(text, end.end()):
        return None
    text = _DECLARATION.sub("", text[start : end.end()], count=1)
    text = _FORBIDDEN.sub(_LOST, text)
    if _LOST in text and _LOST_IN_TAG.search(text):
        return None
    closed = frozenset(_CLOSED.findall(text))

    def unstray(found: re.Match[str]) -> str:
        tag, name = found["tag"], found["name"]
        if tag and (name in closed or tag.endswith("/>")):
            return found[0]
        return "" if tag and ":" in name else f"&lt;{tag or ''}"

    text = _STRAY_LESS_THAN.sub(unstray, text, count=STRAYS)
    text = _REFERENCE.sub(_reference, text)
    return _STRAY_AMPERSAND.sub("&amp;", text, count=STRAYS).encode()


def _reference(found: re.Match[str]) -> str:
    """The same reference, or � if it is to no character."""
    code = int(found[1], 16) if found[1] else int(found[2])
    return _LOST if code > sys.maxunicode or _FORBIDDEN.match(chr(code)) else found[0]
