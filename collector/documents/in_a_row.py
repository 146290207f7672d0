"""Several documents one after the other in one text: what `zcat *.json.gz` and `cat *.xml` print, JSON lines, arrays.

Each is found by where it begins and ends, without being read. What is between and after them is given out too, as a
piece that is no document, so that nothing is dropped unseen. Where one is cut off, the next is found at the beginning
of a line; looking for ends in vain is bounded, or it would take the square of the length.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from reports.document import Form
from reports.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEP: Final = 64 * 1024
_IN_VAIN: Final = 2  # of the largest piece: looked at for ends that are not there, before the rest is one piece
# Brackets of arrays and their commas, the separator of RFC 7464, byte order marks and NULs: nothing of a document.
_BETWEEN: Final = re.compile(rb"(?:[\s,\[\]\0\x1e]|\xef\xbb\xbf)*")
# What no document has outside of strings, and what begins a line where one is cut off.
_AFTER_JSON: Final = re.compile(rb"[}\]]\s*[^\s,}\]]|\n[{<]")
_ARRAY: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[")
# A string up to its end, or to where it is cut off: a line break is in none (RFC 8259, section 7).
_TOKEN: Final = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*(?P<end>"?)|[{}\[\]]')
_BEFORE_OBJECT: Final = (b"[", b",", b":")
_LOOK_BACK: Final = 200  # bytes of white space and what is before it
_NEXT: Final = re.compile(rb"\n(?=[{<\[])")
_ROOTS: Final = tuple(kind.root + b">" for kind in KINDS if kind.root)
_OF_END_TAG: Final = re.compile(rb"</(?:[A-Za-z_][\w.-]{0,40}:)?\Z")
_DECLARATION: Final = re.compile(rb"<\?xml\s")


def may_be_several(form: Form, content: bytes) -> bool:
    """Whether more than one document may be in it, or something after it; a quick look that errs on the safe side."""
    if form is Form.JSON:
        return _ARRAY.match(content) is not None or _AFTER_JSON.search(content) is not None
    end = _end_of_xml(content, 0)
    return content.find(b"<?xml", 1) >= 0 or (end is not None and bool(content[end:].strip(b" \t\r\n\0")))


def pieces(content: bytes) -> Iterator[bytes]:
    """The documents in a text that is in memory, and what lies between them, in order."""
    return (piece for piece in pieces_of(io.BytesIO(content).read, largest=len(content)) if piece is not None)


def pieces_of(read: Callable[[int], bytes], *, largest: int) -> Iterator[bytes | None]:
    """The same of a text that is read bit by bit; None in place of what has more than `largest` bytes."""
    text, at, ended, in_vain = b"", 0, False, 0
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        end = _end(text, at) if at < len(text) else None
        if end is None or end < 0:  # cut off or damaged: what begins a line may be whole again
            in_vain += len(text) - at if end is None and ended else 0
            following = _NEXT.search(text, at) if ended or end is not None else None
            end = following.end() if following and in_vain <= _IN_VAIN * largest + _STEP else None
        if end is None and not ended:
            if len(text) - at <= largest:
                more = read(max(_STEP, len(text) - at))  # twice as much each time: reading again adds up to little
                text, at, ended = text[at:] + more, 0, not more
                continue
            yield None
            text, at, ended = *_skipped(text[at:], read), False
        elif at == len(text):
            return
        else:
            end = len(text) if end is None else end
            yield text[at:end] if end - at <= largest else None
            at = end


def _skipped(text: bytes, read: Callable[[int], bytes]) -> tuple[bytes, int]:
    """From amid what is too large on to where something begins a line: that text, and where in it."""
    while (following := _NEXT.search(text)) is None:
        if not (more := read(_STEP)):
            return b"", 0
        text = text[-1:] + more
    return text, following.end()


def _end(text: bytes, at: int) -> int | None:
    """Where the piece ends that begins here; None if that is further on, -1 if it is damaged or no document."""
    match text[at : at + 1]:
        case b"{":
            return _end_of_json(text, at)
        case b"<":
            end = _end_of_xml(text, at)
            following = _DECLARATION.search(text, at + 1, len(text) if end is None else end)
            return following.start() if following else end
    return -1


def _end_of_json(text: bytes, at: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(text, at):
        match token[0]:
            case b"{":
                if depth and _ends_value(text, token.start()):
                    return -1
                depth += 1
            case b"[":
                depth += 1
            case b"}" | b"]":
                depth -= 1
                if not depth:
                    return token.end()
            case _ if not token["end"]:
                return -1 if b"\n" in text[token.end() : token.end() + 2] else None
    return None


def _ends_value(text: bytes, at: int) -> bool:
    """Whether something ends just before, so that no object can begin here (RFC 8259, sections 4 and 5)."""
    if text[at - 1 : at] in _BEFORE_OBJECT:
        return False
    before = text[max(at - _LOOK_BACK, 0) : at].rstrip()
    return bool(before) and before[-1:] not in _BEFORE_OBJECT


def _end_of_xml(text: bytes, at: int) -> int | None:
    """After the first end tag of a root element."""
    return min((end for root in _ROOTS if (end := _end_of_element(text, at, root)) is not None), default=None)


def _end_of_element(text: bytes, at: int, root: bytes) -> int | None:
    while (found := text.find(root, at)) >= 0:
        at = found + len(root)
        if _OF_END_TAG.search(text, max(found - 50, 0), found):
            return at
    return None
