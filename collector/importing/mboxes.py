"""Mails of an mbox (RFC 4155), as programs really write it: mboxo, mboxrd, mboxcl and mboxcl2.

A mail begins with a line `From address date`. Inside a mail such lines carry a `>` in front (mboxo, mboxrd), or do not
because a Content-Length says where the mail ends (mboxcl2); and many a program forgets either, or the empty line before
it. So a line begins a mail only if it has a date, and a header field follows it; and a Content-Length is believed only
if a mail, or nothing, follows at the place that it names.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from collector.importing.lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.importing.lines import Piecewise

BEGINNING: Final = b"From "
_TIME: Final = re.compile(rb"(?<!\d)\d{1,2}:\d\d")
_YEAR: Final = re.compile(rb"(?<!\d)(?:19|20)\d\d(?!\d)")
_EMPTY: Final = (b"\n", b"\r\n")
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")
_LENGTH: Final = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,9})[ \t\r]*\n", re.IGNORECASE)
_WRONG_LENGTHS: Final = 3  # after so many none is believed: they are the senders', not the mailbox's
# The first mail in mailboxes that c-client, Dovecot and others keep: their own notes.
_NOTES: Final = re.compile(rb"^subject:[^\n]*FOLDER INTERNAL DATA\r?$", re.IGNORECASE | re.MULTILINE)


def mails_of(stream: Piecewise, *, largest: int) -> Iterator[bytes | None]:
    """The mails, one at a time; None in place of one that has more than `largest` bytes.

    The `>` of mboxrd is taken off, also where mboxo did not put it: the two cannot be distinguished.
    """
    box = _Box(Lines(stream), largest)
    while box.begins():
        yield box.read_mail()


def are_notes(mail: bytes) -> bool:
    """Whether it is no mail, but what a mail server wrote for itself."""
    return _NOTES.search(mail, 0, 4096) is not None


class _Box:
    def __init__(self, lines: Lines, largest: int) -> None:
        self._lines = lines
        self._largest = largest
        while (first := lines.read_line()) in _EMPTY:
            pass
        lines.unread(first)
        self._dated = _is_dated(first)  # whether its lines `From ` have a date, as they should
        self._wrong_lengths = 0

    def begins(self) -> bool:
        """Read the line that begins a mail; whether there was one."""
        while (line := self._lines.read_line()) in _EMPTY:
            pass
        return bool(line)

    def read_mail(self) -> bytes | None:
        """Up to the line that begins the next one."""
        mail, length = self._read_header()
        if length is not None and (body := self._read_by(length)) is not None:
            return mail.getvalue() + body
        self._read_lines(mail)
        return mail.getvalue() if mail.tell() <= self._largest else None

    def _read_header(self) -> tuple[io.BytesIO, int | None]:
        header, length = io.BytesIO(), None
        while header.tell() <= self._largest and (line := self._lines.read_line()):
            if self._begins_mail(line, after_empty_line=False):
                self._lines.unread(line)
                break
            header.write(line)
            if found := _LENGTH.match(line):
                length = int(found[1])
            if line in _EMPTY:
                break
        return header, length

    def _read_by(self, length: int) -> bytes | None:
        """The body by its Content-Length, or None if that is wrong."""
        if length > self._largest or self._wrong_lengths == _WRONG_LENGTHS:
            return None
        body = self._lines.read(length)
        if len(body) == length:
            after = b""
            while (line := self._lines.read_line()) in _EMPTY:
                after += line
            begins = not line or self._begins_mail(line, after_empty_line=True)
            self._lines.unread(line)
            if begins:
                return body
            body += after
        self._lines.unread(body)
        self._wrong_lengths += 1
        return None

    def _read_lines(self, mail: io.BytesIO) -> None:
        after_empty_line = at_line_start = True
        while line := self._lines.read_line():
            if at_line_start and self._begins_mail(line, after_empty_line=after_empty_line):
                self._lines.unread(line)
                return
            if mail.tell() <= self._largest:  # of what is too large only the end matters
                mail.write(line[1:] if at_line_start and _is_quoted(line) else line)
            after_empty_line, at_line_start = line in _EMPTY, line.endswith(b"\n")

    def _begins_mail(self, line: bytes, *, after_empty_line: bool) -> bool:
        """Whether a line that was just read begins a mail."""
        if not line.startswith(BEGINNING) or not (_is_dated(line) or (after_empty_line and not self._dated)):
            return False
        following = self._lines.peek_line()
        return _FIELD.match(following) is not None or _is_quoted(following)  # as sendmail adds one of its own


def _is_dated(line: bytes) -> bool:
    return _TIME.search(line) is not None and _YEAR.search(line) is not None


def _is_quoted(line: bytes) -> bool:
    return line.startswith(b">") and line.lstrip(b">").startswith(BEGINNING)
