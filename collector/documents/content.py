"""What content is, by its first bytes: senders mislabel everything, but these do not lie."""

from __future__ import annotations

import codecs
import re
from typing import Final

from collector.documents.compression import EMPTY_ZIP_MAGIC, GZIP_MAGIC, ZIP_MAGIC

# JSON (a report, or arrays of them) and XML after a byte order mark or white space, in UTF-8, UTF-16 or UTF-32.
_KIND: Final = re.compile(
    rb"(?P<gzip>%b)|(?P<zip>%b|%b)" % (GZIP_MAGIC, ZIP_MAGIC, EMPTY_ZIP_MAGIC)
    + rb"|(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff|\0\0\xfe\xff)?[\s\0]*(?:(?P<json>(?:\[[\s\0\[]*)?\{)|(?P<xml><))"
)

# Longest first: the mark of UTF-16 begins that of UTF-32.
_ENCODINGS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
    (b"[\0", "utf-16-le"),
    (b"\0[", "utf-16-be"),
)


def kind_of(content: bytes) -> str | None:
    """gzip, zip, json or xml; None if it is something else."""
    found = _KIND.match(content)
    return found.lastgroup if found else None


def encoding_of(content: bytes) -> str | None:
    """The encoding of JSON that its first bytes show, or None for what should be UTF-8."""
    if content.startswith((b'{"', b"{\n")):
        return None
    return next((encoding for mark, encoding in _ENCODINGS if content.startswith(mark)), None)
