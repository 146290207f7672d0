"""The ingest side: take messages in order, then delete, defer or hold each.

Claiming writes nothing: what was claimed and not forgotten is claimed again after a restart. All that ingest does can
be done twice, so its commits need not be durable at once.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from collector.spool import envelope_text, ledger
from collector.spool.database import SpoolFile
from collector.spool.held import DEFAULT_RULES, HeldRow, HeldState, insert_held
from collector.spool.shares import Origin, too_many

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from mailposture.config.model import Spool as SpoolRules
    from reports.envelope import Envelope

# One statement for many messages: each that runs lets go of the interpreter lock, and waits for the other thread then.
_AMONG = "id IN (SELECT value FROM json_each(?))"

LONGEST_WAIT = timedelta(hours=1)  # that a message may be deferred: what is due later, a clock that was ahead deferred


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A message that waits to be understood."""

    id: int
    envelope: Envelope
    body: bytes
    attempts: int  # how often it was deferred


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTotal:
    """What is held in one state."""

    messages: int
    bytes: int  # compressed, with what a row costs


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStats:
    """How much waits, and how long already."""

    depth: int  # messages, deferred ones included
    bytes: int
    deferred: int
    deferred_bytes: int
    oldest_age: timedelta | None  # since the oldest waiting message was received
    held: dict[HeldState, HeldTotal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Displaced:
    """A message in the queue that may not be deferred any longer."""

    id: int
    reason: str  # why it was deferred
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What became of a message that was to be held."""

    id: str
    kept: bool  # false: its origin holds so much already that it had to go itself
    pruned: int  # messages that were dropped to make room


class SpoolQueue:
    """Ingest's view of the spool. One process uses one at a time; its threads may share it."""

    def __init__(self, folder: Path, *, rules: SpoolRules = DEFAULT_RULES) -> None:
        self._rules = rules
        self._file = SpoolFile(folder, durability="NORMAL")
        self._lock = threading.Lock()
        self._last_claimed = 0
        self._claimed_again: set[int] = set()  # deferred messages that were due and are with ingest now

    def claim(self, limit: int, max_bytes: int) -> list[Spooled]:
        """The next messages: at most `limit`, and at most `max_bytes` unless one alone has more; due ones first.

        A message is given out once until it is deferred, or the process starts again.
        """
        with self._lock, self._file.reading() as connection:
            batch = _Batch(limit=limit, max_bytes=max_bytes)
            self._claim_due(connection, batch)
            if not batch.full:
                self._claim_new(connection, batch)
            if not batch.attempts:
                self._file.shrink()
                return []
            return _read(connection, batch.attempts)

    def forget(self, ids: Iterable[int]) -> None:
        """ClickHouse has them: drop them."""
        with self._lock, self._file.writing() as connection:
            self._remove(connection, list(ids))

    def defer(self, message: Spooled, *, until: datetime, reason: str, origin: Origin) -> list[Displaced]:
        """Do not claim it again before then, at most LONGEST_WAIT from now.

        Returns what cannot wait any longer, perhaps itself: hold it.

        Deferred mail takes `spool.deferred_size` bytes at most. What has to make room stays in the queue until it is
        held; after a restart it is claimed again.
        """
        size = len(message.body) + len(envelope_text.encode(message.envelope)) + origin.row_bytes
        going: list[Displaced] = []
        with self._lock, self._file.writing() as connection:
            connection.execute(
                "INSERT INTO deferred VALUES (?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
                " SET due = excluded.due, attempts = attempts + 1, reason = excluded.reason",
                (message.id, until.timestamp(), reason, int(origin.signed), origin.client, origin.claim, size),
            )
            while some := too_many(connection, "deferred", self._rules.deferred_size):
                going += [_displaced(connection, number) for number in some]
            self._claimed_again.discard(message.id)
        return going

    def read(self, number: int) -> Spooled:
        """A message in the queue."""
        with self._lock, self._file.reading() as connection:
            (message,) = _read(connection, {number: 0})
        return message

    def hold(self, message: Spooled, *, state: HeldState, reason: str, detail: str, origin: Origin) -> Holding:
        """Move a message out of the queue, to be looked at by a person."""
        row = HeldRow.of(message.envelope, message.body, state=state, reason=reason, detail=detail, origin=origin)
        with self._lock, self._file.writing() as connection:
            # Held already: a replay after a power failure, or the same bytes released and held again meanwhile.
            pruned = insert_held(connection, [row], self._rules)
            self._remove(connection, [message.id])
            kept = connection.execute("SELECT 1 FROM held WHERE id = ?", (row.id,)).fetchone() is not None
        return Holding(id=row.id, kept=kept, pruned=pruned)

    def stats(self) -> SpoolStats:
        """Cheap at any depth."""
        with self._lock, self._file.reading() as connection:
            depth, size = ledger.read(connection)
            oldest = connection.execute("SELECT envelope FROM queue ORDER BY id LIMIT 1").fetchone()
            shares = connection.execute(
                "SELECT state, sum(messages), sum(bytes) FROM shares WHERE level = 0 GROUP BY state"
            ).fetchall()
        totals = {state: HeldTotal(messages=count, bytes=size) for state, count, size in shares}
        deferred = totals.pop("deferred", HeldTotal(messages=0, bytes=0))
        return SpoolStats(
            depth=depth,
            bytes=size,
            deferred=deferred.messages,
            deferred_bytes=deferred.bytes,
            oldest_age=datetime.now(UTC) - envelope_text.decode(oldest[0]).received_at if oldest else None,
            held={HeldState(state): total for state, total in totals.items()},
        )

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _claim_due(self, connection: sqlite3.Connection, batch: _Batch) -> None:
        now = time.time()
        due = connection.execute(
            "SELECT id, attempts, length(body) FROM deferred JOIN queue USING (id)"
            " WHERE due <= ? OR due > ? ORDER BY due LIMIT ?",
            (now, now + LONGEST_WAIT.total_seconds(), batch.limit + len(self._claimed_again)),
        ).fetchall()
        for number, attempts, size in due:
            if number not in self._claimed_again and not batch.add(number, size, attempts):
                break
        self._claimed_again.update(batch.attempts)

    def _claim_new(self, connection: sqlite3.Connection, batch: _Batch) -> None:
        new = connection.execute(
            "SELECT id, length(body) FROM queue WHERE id > ? AND NOT EXISTS"
            " (SELECT 1 FROM deferred WHERE deferred.id = queue.id) ORDER BY id LIMIT ?",
            (self._last_claimed, batch.limit),
        ).fetchall()
        for number, size in new:
            if not batch.add(number, size, 0):
                break
            self._last_claimed = number

    def _remove(self, connection: sqlite3.Connection, ids: Collection[int]) -> None:
        some = json.dumps(ids)
        removed, size = connection.execute(
            f"SELECT count(*), ifnull(sum(length(body)), 0) FROM queue WHERE {_AMONG}", (some,)
        ).fetchone()
        connection.execute(f"DELETE FROM queue WHERE {_AMONG}", (some,))
        connection.execute(f"DELETE FROM deferred WHERE {_AMONG}", (some,))
        ledger.count_out(connection, messages=removed, size=size)
        self._claimed_again.difference_update(ids)


class _Batch:
    """Messages that are claimed together. What does not fit is never read: its size is known before its bytes are."""

    def __init__(self, *, limit: int, max_bytes: int) -> None:
        self.limit = limit
        self.attempts: dict[int, int] = {}  # by the number of each, in order
        self.full = False
        self._max_bytes = max_bytes
        self._size = 0

    def add(self, number: int, size: int, attempts: int) -> bool:
        """Whether there is room for one more; if not, it has to wait for the next batch."""
        if len(self.attempts) == self.limit or (self.attempts and self._size + size > self._max_bytes):
            self.full = True
            return False
        self.attempts[number] = attempts
        self._size += size
        return True


def _read(connection: sqlite3.Connection, attempts: Mapping[int, int]) -> list[Spooled]:
    """Messages of the queue, in the order of their numbers here."""
    found = connection.execute(f"SELECT id, envelope, body FROM queue WHERE {_AMONG}", (json.dumps([*attempts]),))
    contents = {number: (envelope, body) for number, envelope, body in found.fetchall()}
    return [
        Spooled(id=number, envelope=envelope_text.decode(contents[number][0]), body=contents[number][1], attempts=tried)
        for number, tried in attempts.items()
    ]


def _displaced(connection: sqlite3.Connection, number: int) -> Displaced:
    ((reason, signed, client, claim),) = connection.execute(
        "DELETE FROM deferred WHERE id = ? RETURNING reason, signed, client, claim", (number,)
    ).fetchall()
    return Displaced(id=number, reason=reason, origin=Origin(client, claim, signed=bool(signed)))
