"""The receiving side: bytes become durable in groups.

An fsync costs as much as everything else together, so whatever arrives while one runs shares the next: a thread drains
what waits, inserts it in one transaction, commits once, then wakes everybody who waited.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import defaultdict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.spool import envelope_text, ledger
from collector.spool.database import SpoolError, SpoolFile
from collector.spool.room import Refusal, shortage_of_room

if TYPE_CHECKING:
    from pathlib import Path

    from reports.envelope import Envelope

_GROUP_MESSAGES = 500
_GROUP_BYTES = 8 * 1024 * 1024  # SQLite copies what a statement is given
_RECHECK_SECONDS = 1.0  # how long the last answer about free space is used

_Waiter = asyncio.Future[int] | Future[int]
_Outcome = int | Refusal


@dataclass(frozen=True, slots=True)
class _Arrival:
    envelope: bytes
    body: bytes | bytearray
    waiter: _Waiter


class Spool:
    """What sources put bytes into. Safe to use from any thread and any event loop."""

    def __init__(self, folder: Path, *, keep_free: int) -> None:
        """Open (or make) the spool in a folder; raises SpoolError.

        `keep_free` is in bytes: with less than that free on the disk nothing is accepted any more.
        """
        self._folder = folder
        self._keep_free = keep_free
        self._file: SpoolFile | None = SpoolFile(folder, durability="FULL")
        self._arrivals: queue.SimpleQueue[_Arrival | None] = queue.SimpleQueue()
        self._room_known_until = 0.0
        self._refusal: Refusal | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._write_groups, name="spool", daemon=True)
        self._thread.start()

    def put(self, envelope: Envelope, body: bytes | bytearray) -> int:
        """Block until the bytes are durable; return their spool id. Raises SpoolFullError or SpoolError."""
        waiter: Future[int] = Future()
        self._enqueue(envelope, body, waiter)
        return waiter.result()

    def put_async(self, envelope: Envelope, body: bytes | bytearray) -> asyncio.Future[int]:
        """As put(), for a coroutine to await. Giving up waiting does not take the bytes back."""
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enqueue(envelope, body, waiter)
        return waiter

    def check_room(self) -> None:
        """Raise the SpoolError of a put that would fail for known reasons: for peers that ask before they send."""
        now = time.monotonic()
        if now >= self._room_known_until:
            self._refusal = shortage_of_room(self._folder, keep_free=self._keep_free)
            self._room_known_until = now + _RECHECK_SECONDS
        if self._refusal is not None:
            raise self._refusal.error()

    def close(self) -> None:
        """Finish what was put, then close the file."""
        if not self._closed:
            self._closed = True
            self._arrivals.put(None)
            self._thread.join()

    def _enqueue(self, envelope: Envelope, body: bytes | bytearray, waiter: _Waiter) -> None:
        if self._closed:
            raise SpoolError(f"{self._folder}: is closed, mailposture is stopping")
        self.check_room()
        self._arrivals.put(_Arrival(envelope_text.encode(envelope), body, waiter))

    def _write_groups(self) -> None:
        while (first := self._arrivals.get()) is not None:
            group = self._group(first)
            outcomes: list[_Outcome]
            try:
                outcomes = list(self._insert(group))
            except SpoolError as error:
                refusal = Refusal(type(error), str(error))
                outcomes = [refusal] * len(group)
                self._recover(refusal)
            _wake(group, outcomes)
            del group, outcomes, first  # not held while nothing arrives
        if self._file is not None:
            self._file.close()

    def _group(self, first: _Arrival) -> list[_Arrival]:
        """The first arrival and all that wait behind it, up to a bounded size."""
        group, size = [first], len(first.body)
        while len(group) < _GROUP_MESSAGES and size < _GROUP_BYTES:
            try:
                arrival = self._arrivals.get_nowait()
            except queue.Empty:
                break
            if arrival is None:
                self._arrivals.put(None)  # seen again after this group
                break
            group.append(arrival)
            size += len(arrival.body)
        return group

    def _insert(self, group: list[_Arrival]) -> range:
        """Store a group and return the ids.

        All rows go in one statement: between any two the interpreter lock would pass to the event loop and back.
        """
        if self._file is None:
            self._file = SpoolFile(self._folder, durability="FULL")
        with self._file.writing() as connection:
            size = sum(len(arrival.body) for arrival in group)
            ids = ledger.count_in(connection, messages=len(group), size=size)
            values: list[int | bytes | bytearray] = []
            for number, arrival in zip(ids, group, strict=True):
                values += (number, arrival.envelope, arrival.body)
            rows = ",".join(["(?,?,?)"] * len(group))
            connection.execute(f"INSERT INTO queue VALUES {rows}", values)
        return ids

    def _recover(self, refusal: Refusal) -> None:
        """After a failed write open the file again, in a second; until then refuse without trying."""
        self._refusal = refusal
        self._room_known_until = time.monotonic() + _RECHECK_SECONDS
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _wake(group: list[_Arrival], outcomes: list[_Outcome]) -> None:
    """Give every waiter its outcome; each event loop is woken once per group."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], _Outcome]]] = defaultdict(list)
    for arrival, outcome in zip(group, outcomes, strict=True):
        if isinstance(arrival.waiter, Future):
            _settle(arrival.waiter, outcome)
        else:
            by_loop[arrival.waiter.get_loop()].append((arrival.waiter, outcome))
    for loop, settlements in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle_all, settlements)


def _settle_all(settlements: list[tuple[asyncio.Future[int], _Outcome]]) -> None:
    for waiter, outcome in settlements:
        if not waiter.done():  # its connection may be gone
            _settle(waiter, outcome)


def _settle(waiter: _Waiter, outcome: _Outcome) -> None:
    if isinstance(outcome, Refusal):
        waiter.set_exception(outcome.error())
    else:
        waiter.set_result(outcome)
