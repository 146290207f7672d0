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

from collector.spool import envelope_text
from collector.spool.database import SpoolFile

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from collector.envelope import Envelope

_SHORTEST_PREFIX = 4


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
    """16 hex digits that depend only on the bytes and their envelope: holding the same twice keeps one."""
    digest = hashlib.sha256(envelope_text.encode(envelope))
    digest.update(hashlib.sha256(body).digest())
    return digest.hexdigest()[:16]


def insert_held(
    connection: sqlite3.Connection, envelope: Envelope, body: bytes, *, state: HeldState, reason: str, detail: str
) -> str:
    """Hold a message, inside the caller's transaction; returns its id. Holding the same again changes nothing."""
    name = held_id(envelope, body)
    packed = zlib.compress(body)
    connection.execute(
        "INSERT OR IGNORE INTO held VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            name,
            state.value,
            time.time(),
            reason,
            detail,
            len(body),
            len(packed),
            envelope_text.encode(envelope),
            packed,
        ),
    )
    return name


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

    def keep(self, envelope: Envelope, body: bytes, *, state: HeldState, reason: str, detail: str) -> str:
        """Hold a message that never was in the queue (an import); durable when it returns. Returns its id."""
        with self._lock, self._file.writing() as connection:
            return insert_held(connection, envelope, body, state=state, reason=reason, detail=detail)

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
