"""What is held, for a person to look at: unauthenticated reports, and what is no usable report.

Both are bounded in bytes (`spool.held_size`) and age (`spool.held_for`); shares.py says what makes room.
"""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any

from collector.spool import envelope_text, ledger
from collector.spool.database import SpoolFile
from collector.spool.room import shortage_of_room
from collector.spool.shares import Origin, too_many
from mailposture.config.model import Spool as SpoolRules

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from reports.envelope import Envelope
    from reports.rejection import Fault

_SHORTEST_PREFIX = 4
_ANY_TIME = datetime.fromtimestamp(0, UTC)
_INSERT = "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_IMPORTED = Origin("import")
DEFAULT_RULES = SpoolRules()
_COMPRESSION = 1  # level 6 takes three times as long, on base64 for nothing
_DROPPED_AT_ONCE = 500  # rows per transaction: receiving waits meanwhile
_CLOCK_AHEAD = 3600.0  # seconds; a clock that is set back by less changes no judgement


class NotHeldError(LookupError):
    """No held message goes by that id, or several do."""


class HeldState(StrEnum):
    """Why a message is held."""

    QUARANTINED = "quarantined"  # a report, but unauthenticated
    REJECTED = "rejected"  # no usable report


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMessage:
    """A held message, without its bytes."""

    id: str
    state: HeldState
    held_at: datetime
    reason: str
    detail: str
    size: int  # bytes, as received
    envelope: Envelope


def held_id(envelope: Envelope, body: bytes) -> str:
    """16 hex digits that depend only on the bytes and their envelope: holding the same twice keeps one.

    When a file was read is no part of it: it lies there still, and may be imported again.
    """
    if envelope.source.is_file:
        envelope = replace(envelope, received_at=_ANY_TIME)
    digest = hashlib.sha256(envelope_text.encode(envelope))
    digest.update(hashlib.sha256(body).digest())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """A message packed for its row in `held`."""

    id: str
    state: HeldState
    values: tuple[object, ...]

    @classmethod
    def of(
        cls, envelope: Envelope, body: bytes, *, state: HeldState, reason: str, detail: str, origin: Origin
    ) -> HeldRow:
        """Takes time, so call it before the lock is taken, which receiving waits for."""
        name, text, packed = held_id(envelope, body), envelope_text.encode(envelope), zlib.compress(body, _COMPRESSION)
        cost = len(packed) + len(text) + len(detail.encode()) + origin.row_bytes
        whose = (int(origin.signed), origin.client, origin.claim)
        values = (name, state.value, time.time(), reason, detail, *whose, len(body), cost, text, packed)
        return cls(id=name, state=state, values=values)


def insert_held(connection: sqlite3.Connection, rows: Collection[HeldRow], rules: SpoolRules) -> int:
    """Hold messages within the budget, inside the caller's transaction; returns how many had to go for it.

    Holding the same again changes nothing.
    """
    connection.executemany(_INSERT, [row.values for row in rows])
    return sum(_drop_beyond(connection, state, rules.held_size) for state in {row.state for row in rows})


def _drop_beyond(connection: sqlite3.Connection, state: HeldState, budget: int, at_most: float = inf) -> int:
    dropped = 0
    while dropped < at_most and (going := too_many(connection, state, budget)):
        connection.executemany("DELETE FROM held WHERE rowid = ?", [(number,) for number in going])
        dropped += len(going)
    return dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How many held messages were dropped, by why."""

    age: int
    budget: int


class HeldMessages:
    """Held messages of one spool; ids may be shortened to any unambiguous beginning of four digits or more."""

    def __init__(self, folder: Path, *, rules: SpoolRules = DEFAULT_RULES) -> None:
        self._rules = rules
        self._file = SpoolFile(folder, durability="FULL")
        self._lock = threading.Lock()

    def list(self, state: HeldState | None = None, *, limit: int = 1000) -> list[HeldMessage]:
        """The newest first."""
        with self._lock, self._file.reading() as connection:
            rows = connection.execute(
                "SELECT id, state, held_at, reason, detail, size, envelope FROM held"
                " WHERE :state IS NULL OR state = :state ORDER BY held_at DESC LIMIT :limit",
                {"state": state, "limit": limit},
            ).fetchall()
        return [_held_message(row) for row in rows]

    def get(self, name: str) -> tuple[HeldMessage, bytes]:
        """A message and its bytes; raises NotHeldError."""
        with self._lock, self._file.reading() as connection:
            row = self._find(connection, name)
        return _held_message(row[:7]), zlib.decompress(row[7])

    def keep(self, rejected: Iterable[tuple[Envelope, bytes, Fault]]) -> tuple[str, ...]:
        """Hold what was rejected without ever being in the queue (an import); returns the ids. Durable all at once.

        Raises SpoolFullError while the disk has less than `spool.keep_free` bytes.
        """
        named = [(held_id(envelope, body), envelope, body, fault) for envelope, body, fault in rejected]
        names = tuple(name for name, *_ in named)
        with self._lock, self._file.reading() as connection:
            asked = ",".join("?" * len(names))
            known = {name for (name,) in connection.execute(f"SELECT id FROM held WHERE id IN ({asked})", names)}
        new = [
            HeldRow.of(
                envelope,
                body,
                state=HeldState.REJECTED,
                reason=fault.reason.value,
                detail=fault.detail,
                origin=_IMPORTED,
            )
            for name, envelope, body, fault in named
            if name not in known
        ]
        if new:
            if shortage := shortage_of_room(self._file.path.parent, keep_free=self._rules.keep_free):
                raise shortage.error()
            with self._lock, self._file.writing() as connection:
                insert_held(connection, new, self._rules)
        return names

    def release(self, name: str) -> int:
        """Put a message back into the queue, to be accepted on the operator's word; returns its spool id.

        Raises NotHeldError.
        """
        with self._lock, self._file.writing() as connection:
            row = self._find(connection, name)
            envelope = replace(envelope_text.decode(row[6]), by_operator=True)
            return _put_back(connection, row[0], envelope_text.encode(envelope), zlib.decompress(row[7]))

    def put_back(self, name: str) -> int:
        """Put a message back into the queue as it came, to be judged by today's rules; returns its spool id.

        Raises NotHeldError.
        """
        with self._lock, self._file.writing() as connection:
            row = self._find(connection, name)
            return _put_back(connection, row[0], row[6], zlib.decompress(row[7]))

    def judge_again(self) -> int:
        """Put back into the queue what was held at a time that is yet to come; returns how many messages.

        Our clock was ahead then: signatures had seemingly expired, and days were seemingly too old.
        """
        number = 0
        while row := self._held_after(time.time() + _CLOCK_AHEAD):
            with self._lock, self._file.writing() as connection:
                _put_back(connection, row[0], row[1], zlib.decompress(row[2]))
            number += 1
        return number

    def _held_after(self, moment: float) -> Any:
        with self._lock, self._file.reading() as connection:
            return connection.execute(
                "SELECT id, envelope, body FROM held WHERE held_at > ? LIMIT 1", (moment,)
            ).fetchone()

    def discard(self, name: str) -> None:
        """Delete a message for good; raises NotHeldError."""
        with self._lock, self._file.writing() as connection:
            connection.execute("DELETE FROM held WHERE id = ?", (self._find(connection, name)[0],))

    def prune(self, state: HeldState) -> Pruned:
        """Drop what was held longer than `spool.held_for`, and what a smaller `spool.held_size` has no room for."""
        by_age = by_budget = 0
        oldest = time.time() - self._rules.held_for.total_seconds()
        while dropped := self._drop_older(state, oldest):
            by_age += dropped
        while dropped := self._drop_some_beyond_budget(state):
            by_budget += dropped
        return Pruned(age=by_age, budget=by_budget)

    def _drop_older(self, state: HeldState, oldest: float) -> int:
        with self._lock, self._file.writing() as connection:
            return connection.execute(
                "DELETE FROM held WHERE rowid IN (SELECT rowid FROM held WHERE state = ? AND held_at < ? LIMIT ?)",
                (state, oldest, _DROPPED_AT_ONCE),
            ).rowcount

    def _drop_some_beyond_budget(self, state: HeldState) -> int:
        with self._lock, self._file.writing() as connection:
            return _drop_beyond(connection, state, self._rules.held_size, at_most=_DROPPED_AT_ONCE)

    def close(self) -> None:
        with self._lock:
            self._file.close()

    def _find(self, connection: sqlite3.Connection, name: str) -> Any:
        prefix = name.strip().lower()
        if len(prefix) < _SHORTEST_PREFIX or not set(prefix) <= set("0123456789abcdef"):
            raise NotHeldError(f"{name!r} is no id of a held message: give at least {_SHORTEST_PREFIX} hex digits")
        rows = connection.execute(
            "SELECT id, state, held_at, reason, detail, size, envelope, body FROM held"
            " WHERE id >= ? AND id < ? LIMIT 2",
            (prefix, prefix + "g"),
        ).fetchall()
        if not rows:
            raise NotHeldError(f"nothing is held under {name}; `mailposture quarantine list` shows what is")
        if len(rows) > 1:
            raise NotHeldError(f"{name} is the beginning of several ids; give more digits")
        return rows[0]


def _put_back(connection: sqlite3.Connection, name: str, envelope: bytes, body: bytes) -> int:
    """Move a held message into the queue, as part of the caller's transaction; returns its id there."""
    (number,) = ledger.count_in(connection, messages=1, size=len(body))
    connection.execute("INSERT INTO queue VALUES (?, ?, ?)", (number, envelope, body))
    connection.execute("DELETE FROM held WHERE id = ?", (name,))
    return number


def _held_message(row: Any) -> HeldMessage:
    name, state, held_at, reason, detail, size, envelope = row
    return HeldMessage(
        id=name,
        state=HeldState(state),
        held_at=datetime.fromtimestamp(held_at, UTC),
        reason=reason,
        detail=detail,
        size=size,
        envelope=envelope_text.decode(envelope),
    )
