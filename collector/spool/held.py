"""What was held back, for a person to look at: reports that nothing vouches for, and what is no usable report."""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from collector.envelope import Envelope, Source
from collector.spool import envelope_text
from collector.spool.database import SpoolFile
from collector.spool.room import shortage_of_room

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from pathlib import Path

    from collector.rejection import Fault

_SHORTEST_PREFIX = 4
_ANY_TIME = datetime.fromtimestamp(0, UTC)
_INSERT = "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_Row = tuple[str, str, float, str, str, int, int, bytes, bytes]


class NotHeldError(LookupError):
    """No held message goes by that id, or several do."""


class HeldState(StrEnum):
    """Why a message is held."""

    QUARANTINED = "quarantined"  # a report, but nothing vouches for it
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
    if envelope.source is Source.FILE:
        envelope = replace(envelope, received_at=_ANY_TIME)
    digest = hashlib.sha256(envelope_text.encode(envelope))
    digest.update(hashlib.sha256(body).digest())
    return digest.hexdigest()[:16]


def insert_held(
    connection: sqlite3.Connection, envelope: Envelope, body: bytes, *, state: HeldState, reason: str, detail: str
) -> str:
    """Hold a message, inside the caller's transaction; returns its id. Holding the same again changes nothing."""
    name = held_id(envelope, body)
    connection.execute(_INSERT, _row(name, envelope, body, state=state, reason=reason, detail=detail))
    return name


def _row(name: str, envelope: Envelope, body: bytes, *, state: HeldState, reason: str, detail: str) -> _Row:
    packed = zlib.compress(body)
    text = envelope_text.encode(envelope)
    return name, state.value, time.time(), reason, detail, len(body), len(packed), text, packed


class HeldMessages:
    """Held messages of one spool; ids may be shortened to any unambiguous beginning of four digits or more."""

    def __init__(self, folder: Path) -> None:
        self._file = SpoolFile(folder, durability="FULL")
        self._lock = threading.Lock()

    def list(self, state: HeldState | None = None, *, limit: int = 1000) -> list[HeldMessage]:
        """The newest first."""
        with self._lock, self._file.reading() as connection:
            rows = connection.execute(
                "SELECT id, state, held_at, reason, detail, size, envelope FROM held"
                " WHERE ?1 IS NULL OR state = ?1 ORDER BY held_at DESC LIMIT ?2",
                (state, limit),
            ).fetchall()
        return [_held_message(row) for row in rows]

    def get(self, name: str) -> tuple[HeldMessage, bytes]:
        """A message and its bytes; raises NotHeldError."""
        with self._lock, self._file.reading() as connection:
            row = self._find(connection, name)
        return _held_message(row[:7]), zlib.decompress(row[7])

    def keep(self, rejected: Iterable[tuple[Envelope, bytes, Fault]], *, keep_free: int) -> tuple[str, ...]:
        """Hold what was rejected without ever being in the queue (an import); returns the ids. Durable all at once.

        Raises SpoolFullError while the disk has less than `keep_free` bytes.
        """
        named = [(held_id(envelope, body), envelope, body, fault) for envelope, body, fault in rejected]
        names = tuple(name for name, *_ in named)
        with self._lock, self._file.reading() as connection:
            asked = ",".join("?" * len(names))
            known = {name for (name,) in connection.execute(f"SELECT id FROM held WHERE id IN ({asked})", names)}
        new = [  # packed before the lock is taken, which receiving waits for
            _row(name, envelope, body, state=HeldState.REJECTED, reason=fault.reason.value, detail=fault.detail)
            for name, envelope, body, fault in named
            if name not in known
        ]
        if new:
            if shortage := shortage_of_room(self._file.path.parent, keep_free=keep_free):
                raise shortage.error()
            with self._lock, self._file.writing() as connection:
                connection.executemany(_INSERT, new)
        return names

    def release(self, name: str) -> int:
        """Put a message back into the queue, vouched for by the operator; returns its spool id. Raises NotHeldError."""
        with self._lock, self._file.writing() as connection:
            row = self._find(connection, name)
            body = zlib.decompress(row[7])
            envelope = replace(envelope_text.decode(row[6]), vouched=True)
            (number,) = connection.execute(
                "UPDATE ledger SET last_id = last_id + 1, depth = depth + 1, bytes = bytes + ? RETURNING last_id",
                (len(body),),
            ).fetchall()[0]
            connection.execute("INSERT INTO queue VALUES (?, ?, ?)", (number, envelope_text.encode(envelope), body))
            connection.execute("DELETE FROM held WHERE id = ?", (row[0],))
        return int(number)

    def discard(self, name: str) -> None:
        """Delete a message for good; raises NotHeldError."""
        with self._lock, self._file.writing() as connection:
            connection.execute("DELETE FROM held WHERE id = ?", (self._find(connection, name)[0],))

    def prune(self, *, held_size: int, held_for: timedelta) -> int:
        """Drop what was held longer than `held_for`, and of each state the oldest beyond `held_size` stored bytes.

        Quarantine is bounded too: else a flood of forged reports could fill the disk and keep true ones out. Returns
        how many were dropped.
        """
        with self._lock, self._file.writing() as connection:
            dropped = connection.execute(
                "DELETE FROM held WHERE held_at < ?", (time.time() - held_for.total_seconds(),)
            ).rowcount
            dropped += connection.execute(
                "DELETE FROM held WHERE rowid IN (SELECT rowid FROM (SELECT rowid,"
                " sum(stored) OVER (PARTITION BY state ORDER BY held_at DESC, rowid DESC) AS kept FROM held)"
                " WHERE kept > ?)",
                (held_size,),
            ).rowcount
        return dropped

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
