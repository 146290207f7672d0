"""In what encoding the XML of a report is.

expat knows UTF-8, UTF-16, ISO 8859-1 and ASCII; for all else it asks Python for a codec, among which are some that are
no encodings of text (`zlib`, `idna`), and some in which other bytes than `<` begin a tag. So a declaration is obeyed
only if it names an encoding that has ASCII in it and one byte per character.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from functools import lru_cache
from typing import Final

_OF_EXPAT: Final = frozenset(("utf-8", "utf-16", "utf-16le", "utf-16be", "iso-8859-1", "us-ascii"))
_SINGLE_BYTE: Final = ("iso8859-", "cp125", "koi8-", "ascii")  # as Python calls them
_MULTI_BYTE: Final = frozenset(
    ("shift_jis", "cp932", "euc_jp", "gb2312", "gbk", "gb18030", "big5", "euc_kr", "cp949")
)  # ASCII with pairs of bytes, none of which has `<` or `&` as its second
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BEGIN: Final = re.compile(r"<(?:[\w.-]{1,40}:)?feedback[\s/>]", re.ASCII | re.IGNORECASE)
_END: Final = re.compile(r"</(?:[\w.-]{1,40}:)?feedback\s*>", re.ASCII | re.IGNORECASE)
_DECLARED: Final = re.compile(rb"encoding[ \t\r\n]*=[ \t\r\n]*[\"']*([A-Za-z0-9._-]{1,40})")
_NO_UTF_8: Final = {0xDC00 + byte: bytes((byte,)).decode("cp1252", "replace") for byte in range(0x80, 0x100)}


def document_of(content: bytes) -> bytes:
    """The root element of a report in UTF-8, without what may stand around it: byte order marks, NULs, a footer."""
    text = decoded(content)
    begin, ends = _BEGIN.search(text), deque(_END.finditer(text), maxlen=1)
    return text[begin.start() if begin else 0 : ends[0].end() if ends else len(text)].encode("utf-8", "replace")


def can_be_obeyed(declared: str) -> bool:
    """Whether expat may read a document in the encoding that it declares."""
    return declared.lower() in _OF_EXPAT or _codec(declared).startswith(_SINGLE_BYTE)


def decoded(content: bytes) -> str:
    """XML as text. Bytes decide over the declaration: a byte order mark, or that they are UTF-8; then what is declared.

    What is no UTF-8 amid UTF-8 is windows-1252, which Latin-1 is a part of.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    if content[:2] in (b"<\0", b"\0<"):
        return content.decode("utf-16-le" if content[:1] == b"<" else "utf-16-be", "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        declared = _DECLARED.search(content[:200])
        codec = _codec(declared[1].decode()) if declared else ""
        if codec in _MULTI_BYTE or (codec != "ascii" and codec.startswith(_SINGLE_BYTE)):
            return content.decode(codec, "replace")
        return content.decode("utf-8", "surrogateescape").translate(_NO_UTF_8)


@lru_cache(maxsize=1024)
def _codec(declared: str) -> str:
    """What Python calls an encoding, or empty."""
    try:
        return codecs.lookup(declared).name if len(declared) <= 40 and declared.isascii() else ""
    except (LookupError, ValueError):
        return ""
