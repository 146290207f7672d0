"""Mails that lie in a file: one, Apple's form of one, or several one after the other, as `cat *.eml` makes them."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from collector.documents.limits import LIMITS
from collector.documents.mail import is_whole_mail
from collector.importing.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.importing.lines import Piecewise

_APPLE: Final = re.compile(rb"(\d{1,10})[ \t]*\r?\n(?=[!-9;-~]+[ \t]*:)")
_AUTHORS: Final = (b"\nFrom:", b"\nfrom:", b"\nFROM:")
_EMPTY: Final = (b"\n", b"\r\n")
_FIELD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9-]*[ \t]*:")
_BOUNDARY: Final = re.compile(
    rb"^content-type[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*?boundary[ \t]*=[ \t]*(?:\"([^\"\n]{1,200})\"|([^\s;\"]{1,200}))",
    re.IGNORECASE | re.MULTILINE,
)


def size_of_apple_mail(beginning: bytes) -> tuple[int, int] | None:
    """Where the mail in an .emlx begins, and its size: before it is its size, after it what Mail knows about it."""
    found = _APPLE.match(beginning)
    return (found.end(), int(found[1])) if found else None


def may_be_several(content: bytes) -> bool:
    """Whether more than one mail may be in it; a quick look that errs on the safe side."""
    return sum(content.count(author) for author in _AUTHORS) + content.startswith((b"From:", b"from:")) > 1


def mails_of(stream: Piecewise, *, largest: int) -> Iterator[bytes | None]:
    """The mails, one at a time; None in place of one that has more than `largest` bytes.

    A header begins another mail where the one before has ended: after its last boundary, or where it has no parts.
    Within an open part it does so only where the mail before is cut off: a mail in a mail follows an empty line.
    """
    row = _Row(Lines(stream), largest)
    while mail := row.read_mail():
        yield mail.getvalue() if mail.tell() <= largest else None


class _Row:
    def __init__(self, lines: Lines, largest: int) -> None:
        self._lines = lines
        self._largest = largest

    def read_mail(self) -> io.BytesIO | None:
        """Up to the header of the next one; None at the end."""
        mail = io.BytesIO(self._read_header())
        boundary = _BOUNDARY.search(mail.getvalue())
        last = b"--" + (boundary[1] or boundary[2]) + b"--" if boundary else b""
        mail.seek(0, io.SEEK_END)
        after_text = False
        while line := self._lines.read_line():
            if last and line.startswith(last):
                last = b""
            elif (not last or after_text) and _FIELD.match(line):
                header = line + self._read_fields()
                if is_whole_mail(header, limits=LIMITS):
                    self._lines.unread(header)
                    return mail
                line = header  # no part of it begins another mail either
            if mail.tell() <= self._largest:
                mail.write(line)
            after_text = not (line in _EMPTY or line.endswith((b"\n\n", b"\n\r\n")))
        return mail if mail.tell() else None

    def _read_header(self) -> bytes:
        header = b""
        while len(header) < LIMITS.header_bytes and (line := self._lines.read_line()):
            header += line
            if not line.strip() and header.strip():
                break
        return header

    def _read_fields(self) -> bytes:
        """The lines that go on like a header, and the empty line after it if there is one."""
        lines: list[bytes] = []
        size = 0
        while size < LIMITS.header_bytes and (line := self._lines.read_line()):
            if line.strip() and not (line[:1] in (b" ", b"\t") or _FIELD.match(line)):
                self._lines.unread(line)
                break
            lines.append(line)
            size += len(line)
            if not line.strip():
                break
        return b"".join(lines)
