"""How much of what senders are sending right now may lie in memory at once, over all ways in of the receiver.

A usual report is a few kilobytes. A flood of the largest messages that are allowed must neither end the process nor
keep those out. So what has grown large gets all the room that it may need, or waits for it, or is refused: two that
hold half of it each would wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from mailposture.config import MIB

if TYPE_CHECKING:
    from types import TracebackType

SMALL = 256 * 1024  # up to here a message is not refused because of large ones
_LARGE_BYTES = 96 * MIB  # all messages, while a large one asks for more
_SMALL_BYTES = 32 * MIB  # more, which only small ones get
_PATIENCE = 30.0  # seconds that a sender is kept waiting for room
_LOOK_AGAIN = 0.2


class BodyMemory:
    """Room for messages on their way into the spool. Safe to use from any thread and any event loop."""

    def __init__(self, *, largest: int, large_bytes: int = _LARGE_BYTES, patience: float = _PATIENCE) -> None:
        """`largest`: bytes of the largest message that is allowed; there is always room for one."""
        self._limit = max(large_bytes, largest)
        self._patience = patience
        self._taken = 0
        self._lock = threading.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    def share(self) -> Share:
        """Of one message, which takes up nothing yet."""
        return Share(self)

    def take(self, size: int, *, small: bool) -> bool:
        """Count more bytes, if there is room for them."""
        with self._lock:
            if self._taken + size > self._limit + (_SMALL_BYTES if small else 0):
                return False
            self._taken += size
            return True

    async def take_in_time(self, size: int, *, small: bool) -> bool:
        """As take(), when others give room back soon enough."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        while not self.take(size, small=small):
            room: asyncio.Future[None] = loop.create_future()
            with self._lock:
                self._waiting.add(room)
            try:
                async with asyncio.timeout_at(until):
                    await room
            except TimeoutError:
                return False
            finally:
                with self._lock:
                    self._waiting.discard(room)
        return True

    def give_back(self, size: int) -> None:
        """A message is stored or given up, or smaller than it might have become."""
        with self._lock:
            self._taken -= size
            waiting, self._waiting = self._waiting, set()
        for room in waiting:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                room.get_loop().call_soon_threadsafe(_wake, room)


def _wake(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)


class Share:
    """The room of one message, until the end of a `with`."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory = memory
        self._size = 0
        self._stored: asyncio.Future[int] | None = None

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stored is None:
            self.settle(0)

    async def until(self, stored: asyncio.Future[int]) -> None:
        """Wait until the spool has the message; the bytes need their room until then, also when the sender is gone."""
        self._stored = stored
        stored.add_done_callback(lambda _: self.settle(0))
        await asyncio.shield(stored)

    def covers(self, size: int) -> bool:
        """Whether so many bytes have their room already."""
        return size <= self._size

    async def grow(self, size: int, *, expected: int) -> bool:
        """Have room for a message of `size` bytes by now, which may become `expected`; False if it is to be refused."""
        if self.covers(size):
            return True
        small = size <= SMALL
        more = (size if small else max(size, expected)) - self._size
        if not await self._memory.take_in_time(more, small=small):
            return False
        self._size += more
        return True

    def wait(self, size: int, *, stopping: threading.Event) -> bool:
        """For a thread that has time: have room for `size` bytes, however long that takes; False once it shall stop."""
        while not self._memory.take(size - self._size, small=size <= SMALL):
            if stopping.wait(_LOOK_AGAIN):
                return False
        self._size = size
        return True

    def settle(self, size: int) -> None:
        """The message has ended with so many bytes."""
        if size < self._size:
            self._memory.give_back(self._size - size)
            self._size = size
