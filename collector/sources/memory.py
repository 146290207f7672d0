"""How much of what senders are sending right now may lie in memory at once, over all ways in of the receiver.

A usual report is a few kilobytes. A flood of the largest messages that are allowed must neither end the process nor
keep those out. So what has grown large gets all the room that it may need, or waits for it, or is refused: two that
hold half of it each would wait for each other. Whoever sends a large one slowly, or announces it and sends nothing,
is ended once others wait for that room, and clients get it in turns, however many connections each of them has.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING

from mailposture.config.model import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

SMALL = 256 * 1024  # up to here a message is not refused because of large ones
_LARGE_BYTES = 96 * MIB  # all messages, while a large one asks for more
_SMALL_BYTES = 32 * MIB  # more, which only small ones get
_PATIENCE = 30.0  # seconds that a sender is kept waiting for room
_LOOK_AGAIN = 0.2
_LOOK_FOR_SLOW = 1.0
_GRACE = 10.0  # seconds that a large message may take, while others wait, and
_PACE = 2 * MIB  # bytes per second beyond them


class BodyMemory:
    """Room for messages on their way into the spool. Safe to use from any thread and any event loop."""

    def __init__(
        self,
        *,
        largest: int,
        large_bytes: int = _LARGE_BYTES,
        patience: float = _PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`largest`: bytes of the largest message that is allowed; there is always room for one."""
        self._limit = max(large_bytes, largest)
        self._patience = patience
        self._taken = 0
        self._lock = threading.Lock()
        self._waiting: dict[object, tuple[str, asyncio.Future[None]]] = {}  # in the order in which they came
        self._arriving: set[Share] = set()  # large ones, whose senders can be ended
        self.clock = clock

    def share(self, client: str = "", *, end: Callable[[], None] | None = None) -> Share:
        """Of one message, which takes up nothing yet; `end` ends its sending, from any thread."""
        return Share(self, client, end)

    def end_the_slowest(self) -> None:
        """For those who wait for room."""
        with self._lock:
            late = max(self._arriving, key=Share.lateness, default=None)
            if late is None or late.lateness() <= 0:
                return
            self._arriving.remove(late)
        late.end()

    def arriving(self, share: Share) -> None:
        """Others may come to wait for the room of this one."""
        with self._lock:
            self._arriving.add(share)

    def arrived(self, share: Share) -> None:
        """No more of it is to come."""
        with self._lock:
            self._arriving.discard(share)

    def take(self, size: int, *, small: bool) -> bool:
        """Count more bytes, if there is room for them."""
        with self._lock:
            if self._taken + size > self._limit + (_SMALL_BYTES if small else 0):
                return False
            self._taken += size
            return True

    async def take_in_time(self, size: int, *, small: bool, client: str = "") -> bool:
        """As take(), when others give room back soon enough."""
        turn = object()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience
        try:
            while not self.take(size, small=small):
                room: asyncio.Future[None] = loop.create_future()
                with self._lock:
                    self._waiting[turn] = client, room
                try:
                    async with asyncio.timeout_at(min(until, loop.time() + _LOOK_FOR_SLOW)):
                        await room
                except TimeoutError:
                    if loop.time() >= until:
                        return False
                    self.end_the_slowest()
        finally:
            with self._lock:
                self._waiting.pop(turn, None)
        return True

    def give_back(self, size: int) -> None:
        """A message is stored or given up, or smaller than it might have become."""
        with self._lock:
            self._taken -= size
            waiting = self._in_turns()
        for room in waiting:
            with contextlib.suppress(RuntimeError):  # its loop has ended
                room.get_loop().call_soon_threadsafe(_wake, room)

    def _in_turns(self) -> list[asyncio.Future[None]]:
        """Who waits: the first of each client, then the second of each."""
        number: Counter[str] = Counter()
        turns = []
        for client, room in self._waiting.values():
            turns.append((number[client], room))
            number[client] += 1
        return [room for _, room in sorted(turns, key=itemgetter(0))]


def _wake(room: asyncio.Future[None]) -> None:
    if not room.done():
        room.set_result(None)


class Share:
    """The room of one message, until the end of a `with`."""

    def __init__(self, memory: BodyMemory, client: str, end: Callable[[], None] | None) -> None:
        self._memory = memory
        self._client = client
        self._end = end
        self._size = 0
        self._heard = 0
        self._due = inf  # by the clock
        self._stored: asyncio.Future[int] | None = None

    def lateness(self) -> float:
        """Seconds that a large message is behind the pace at which it may take room from others; 0 or less is none."""
        return self._memory.clock() - self._due - self._heard / _PACE

    def end(self) -> None:
        """End its sending."""
        if self._end is not None:
            self._end()

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stored is None:
            self.settle(0)

    async def until(self, stored: asyncio.Future[int]) -> None:
        """Wait until the spool has the message; the bytes need their room until then, also when the sender is gone."""
        self._memory.arrived(self)
        self._stored = stored
        stored.add_done_callback(lambda _: self.settle(0))
        await asyncio.shield(stored)

    def covers(self, size: int) -> bool:
        """Whether so many bytes have their room already."""
        return size <= self._size

    async def announce(self, size: int) -> bool:
        """Have room for a message of that size before any of it was heard; False if it is to be refused."""
        return await self._grow(size, expected=size)

    async def grow(self, size: int, *, expected: int) -> bool:
        """Have room for a message of `size` bytes by now, which may become `expected`; False if it is to be refused."""
        self._heard = size
        return await self._grow(size, expected=expected)

    async def _grow(self, size: int, *, expected: int) -> bool:
        if self.covers(size):
            return True
        small = size <= SMALL
        more = (size if small else max(size, expected)) - self._size
        if not await self._memory.take_in_time(more, small=small, client=self._client):
            return False
        self._size += more
        if not small and self._due == inf:
            self._due = self._memory.clock() + _GRACE
            self._memory.arriving(self)
        return True

    def wait(self, size: int, *, stopping: threading.Event) -> bool:
        """For a thread that has time: have room for `size` bytes, however long that takes; False once it shall stop."""
        while not self._memory.take(size - self._size, small=size <= SMALL):
            if stopping.wait(_LOOK_AGAIN):
                return False
            self._memory.end_the_slowest()
        self._size = size
        return True

    def settle(self, size: int) -> None:
        """The message has ended with so many bytes."""
        self._memory.arrived(self)
        if size < self._size:
            self._memory.give_back(self._size - size)
            self._size = size
