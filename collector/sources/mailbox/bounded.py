"""What a server sends, up to so many bytes and until a moment: none may fill our memory, or keep us busy for ever.

The time-out of a socket is one for each read, which a server that sends a byte a minute never exceeds.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Final, NoReturn, cast

from collector.sources.mailbox.mailbox import LostError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

_LONGEST_ANSWER: Final = 600.0  # seconds
_LONGEST_SILENCE: Final = 60.0  # seconds


class Allowance:
    """How much a server may still send, and until when; once that was exceeded, nothing more."""

    def __init__(self, server: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`server`: as errors name it; `clock`: seconds."""
        self._server = server
        self._clock = clock
        self._most = self._left = 0
        self._until = 0.0
        self._exceeded = ""

    def begin(self, most: int) -> None:
        """For the next answer, in bytes."""
        self._most = self._left = most
        self._until = self._clock() + _LONGEST_ANSWER

    def take(self, size: int) -> None:
        """Count bytes that have come. Raises LostError."""
        self._left -= size
        self.expect(0)

    def expect(self, size: int) -> None:
        """Raises LostError if so many bytes more are too many."""
        if self._exceeded:
            raise LostError(self._exceeded)
        if size > self._left:
            self.exceeded(f"sends more than it was asked for: over {self._most:,} bytes")

    def silence(self) -> float:
        """Seconds to wait for the next byte. Raises LostError if the time is over."""
        self.expect(0)
        if (left := self._until - self._clock()) <= 0:
            self.exceeded(f"has not ended its answer within {_LONGEST_ANSWER:.0f} seconds")
        return min(_LONGEST_SILENCE, left)

    def exceeded(self, how: str) -> NoReturn:
        """Raises LostError, from now on for whatever is read."""
        self._exceeded = f"{self._server} {how}"
        raise LostError(self._exceeded)


class _Bounded(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, source: socket.socket, allowance: Allowance) -> None:
        self._raw = raw
        self._socket = source
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self._socket.gettimeout() != 0:  # or nobody waits
            self._socket.settimeout(self._allowance.silence())
        try:
            size = cast("int | None", self._raw.readinto(buffer))
        except TimeoutError:
            self._allowance.silence()  # it may be over now
            raise
        self._allowance.take(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


def bounded(stream: io.BufferedReader, source: socket.socket, allowance: Allowance) -> io.BufferedReader:
    """The stream of a socket, of which nothing was read yet; reading raises LostError too."""
    return io.BufferedReader(_Bounded(stream.detach(), source, allowance))
