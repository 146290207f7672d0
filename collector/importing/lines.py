"""Lines of a stream, some of which may be put back."""

from __future__ import annotations

from typing import Final, Protocol

_STEP: Final = 64 * 1024


class Piecewise(Protocol):
    """A stream of which what was read before a fault is not lost."""

    def read1(self, size: int = -1, /) -> bytes: ...


class Lines:
    """Reads a stream line by line; of longer lines than 64 KiB a piece at a time."""

    def __init__(self, stream: Piecewise) -> None:
        self._stream = stream
        self._text = b""
        self._at = 0

    def read_line(self) -> bytes:
        """The next line with its line break; empty at the end."""
        end = self._text.find(b"\n", self._at) + 1
        while not end and len(self._text) - self._at < _STEP and (more := self._stream.read1(_STEP)):
            self._text, self._at = self._text[self._at :] + more, 0
            end = self._text.find(b"\n") + 1
        end = min(end or len(self._text), self._at + _STEP)
        line, self._at = self._text[self._at : end], end
        return line

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer at the end."""
        taken = [self._text[self._at : self._at + size]]
        self._at += len(taken[0])
        left = size - len(taken[0])
        while left and (more := self._stream.read1(min(left, _STEP))):
            taken.append(more)
            left -= len(more)
        return b"".join(taken)

    def unread(self, content: bytes) -> None:
        """Put bytes back that were read last."""
        before = self._at - len(content)
        if before >= 0 and self._text.startswith(content, before):
            self._at = before
        else:
            self._text, self._at = content + self._text[self._at :], 0

    def peek_line(self) -> bytes:
        """The next line, without reading it."""
        line = self.read_line()
        self._at -= len(line)
        return line
