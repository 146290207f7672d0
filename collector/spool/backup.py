"""A copy of the spool at one instant, while mail arrives, and the way back from it.

What is acknowledged is in the spool or in ClickHouse. A message moves from the one to the other, so the spool is saved
first and ClickHouse second: what moves in between is in both copies, and counts once, since rows are keyed. The other
way round it would be in neither.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.spool import ledger, schema
from collector.spool.database import APPLICATION_ID, DATABASE, SpoolError, SpoolFile, SpoolFullError, sync, translated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GROUP_BYTES = 8 * 1024 * 1024  # of messages in a transaction: receiving waits meanwhile
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """How many messages a backup has, or gave back."""

    waiting: int
    held: int


def back_up(folder: Path, target: Path, *, keep_free: int) -> Saved:
    """Write a copy of the spool in a folder to a new file, which appears when it is whole and durable.

    Raises SpoolError: no spool there, no room (`keep_free` bytes stay free on the spool's disk), or a file in the way.
    """
    if not (folder / DATABASE).exists():
        raise SpoolError(f"{folder}: holds no spool; name the configuration of the collector whose spool is meant")
    if target.exists():
        raise SpoolError(f"{target}: is there already; name a new file")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    with closing(SpoolFile(folder, durability="NORMAL")) as spool, translated(target):
        with spool.reading() as connection:
            _check_room(connection, folder, target.parent, keep_free=keep_free)
            os.close(
                os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            )  # SQLite writes into an empty one
            try:
                connection.execute("VACUUM INTO ?", (str(unfinished),))
                saved = _checked(unfinished)
                sync(unfinished)
                unfinished.replace(target)
            finally:
                unfinished.unlink(missing_ok=True)
        sync(target.parent)
    return saved


def restore(folder: Path, source: Path) -> Saved:
    """Put what a backup has into the spool of a folder, which is made if there is none; a collector may run on it.

    Messages that waited wait again, what was held is held again unless it is. Doing it twice counts nothing twice.
    Raises SpoolError for a file that is no backup of this version or is damaged; nothing was changed then.
    """
    with translated(source):
        saved = _checked(source)
        with closing(SpoolFile(folder, durability="FULL")) as spool, _reading(source) as backup:
            _give_back_held(backup, spool)
            _give_back_waiting(backup, spool)
    return saved


def _give_back_held(backup: sqlite3.Connection, spool: SpoolFile) -> None:
    rows = backup.execute("SELECT * FROM held ORDER BY held_at")
    places = ",".join("?" * len(rows.description))
    for row in rows:
        with spool.writing() as connection:
            connection.execute(f"INSERT OR IGNORE INTO held VALUES ({places})", row)


def _give_back_waiting(backup: sqlite3.Connection, spool: SpoolFile) -> None:
    group: list[tuple[bytes, bytes]] = []
    size = 0
    for envelope, body in backup.execute("SELECT envelope, body FROM queue ORDER BY id"):
        group.append((envelope, body))
        size += len(body)
        if size >= _GROUP_BYTES:
            _queue(spool, group)
            group, size = [], 0
    if group:
        _queue(spool, group)


def _queue(spool: SpoolFile, group: list[tuple[bytes, bytes]]) -> None:
    with spool.writing() as connection:
        ids = ledger.count_in(connection, messages=len(group), size=sum(len(body) for _, body in group))
        connection.executemany(
            "INSERT INTO queue VALUES (?, ?, ?)",
            [(number, *message) for number, message in zip(ids, group, strict=True)],
        )


def _checked(file: Path) -> Saved:
    """What is in a backup; raises SpoolError if it is none, of another version, or damaged."""
    if not file.is_file():
        raise SpoolError(f"{file}: there is no such file")
    with _reading(file) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise SpoolError(f"{file}: is no backup of a spool; `mailposture backup` writes one")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != schema.VERSION:
            raise SpoolError(f"{file}: was written by another version of mailposture (format {version}); use that one")
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise SpoolError(f"{file}: is damaged ({found}); use another backup")
        ((waiting, held),) = connection.execute("SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM held)")
        return Saved(waiting=waiting, held=held)


@contextmanager
def _reading(file: Path) -> Iterator[sqlite3.Connection]:
    uri = file.absolute().as_uri()
    with closing(sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)) as connection:
        yield connection


def _check_room(connection: sqlite3.Connection, folder: Path, target: Path, *, keep_free: int) -> None:
    """A copy on the spool's own disk must not keep mail out."""
    (needed,) = connection.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
    if target.stat().st_dev == folder.stat().st_dev:
        needed += keep_free
    disk = os.statvfs(target)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise SpoolFullError(
            f"{target}: {free // _MIB} MiB are free, and a backup may need {needed // _MIB} MiB; name a file on "
            "another disk, or make room"
        )
