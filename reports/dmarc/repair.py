"""XML that is not well-formed, made so where it is clear how.

Never by a parser that recovers: such a parser drops what follows the fault, silently. A report is repaired as text, by
a few rules that change nothing which says anything, and is then parsed strictly again, or rejected.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from reports.dmarc.elements import NAMES

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARATION: Final = re.compile(r"<\?xml[^>]{0,200}>")
_ENCODING: Final = re.compile(rb"encoding[ \t\r\n]*=[ \t\r\n]*[\"']*([A-Za-z0-9._-]{1,40})")
_END: Final = re.compile(r"</(?:[A-Za-z_][\w.-]{0,40}:)?feedback\s*>")
_FORBIDDEN: Final = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, section 2.2
_STRAY_LESS_THAN: Final = re.compile(
    rf"<(?!/?(?:[A-Za-z_][\w.-]{{0,40}}:)?(?:{'|'.join(sorted(NAMES))})(?=[\s/>])|!--|!\[CDATA\[|\?)"
)
_STRAY_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});)")


def repaired(content: bytes) -> str | None:
    """The report as text that should be well-formed; None if there is nothing to repair.

    Bytes decide over the declaration: a byte order mark, or that they are UTF-8, or else what is declared. What stands
    around the document, characters that XML forbids, and each `<` and `&` that begins nothing of the schema, go.
    """
    text = _decoded(content)
    start, end = text.find("<"), _END.search(text)
    if start < 0 or end is None or "<!DOCTYPE" in text:
        return None
    text = _DECLARATION.sub("", text[start : end.end()], count=1)
    text = _FORBIDDEN.sub("", text)
    text = _STRAY_LESS_THAN.sub("&lt;", text)
    return _STRAY_AMPERSAND.sub("&amp;", text)


def _decoded(content: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    if content[:2] in (b"<\0", b"\0<"):
        return content.decode("utf-16-le" if content[:1] == b"<" else "utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        declared = _ENCODING.search(content[:200])
        return content.decode(_single_byte(declared[1].decode() if declared else ""), "replace")


def _single_byte(declared: str) -> str:
    """The declared encoding if it has one byte per character, else windows-1252, which Latin-1 is a part of."""
    try:
        found = codecs.lookup(declared).name if declared else "cp1252"
        bytes(range(32, 127)).decode(found)
    except (LookupError, UnicodeError):
        return "cp1252"
    return found if found.startswith(("iso8859", "cp12", "koi8", "ascii")) and found != "ascii" else "cp1252"
