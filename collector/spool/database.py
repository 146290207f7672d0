"""The spool's SQLite file: how it is opened, and what its errors mean to a mail administrator."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from collector.spool import ledger, schema
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASE = "spool.sqlite"
_TURN = "spool.turn"
APPLICATION_ID = 0x6D706F73  # "mpos": marks our file among SQLite files
_PAGE_SIZE = 8192  # most reports fit in one page
_CHECKPOINT_PAGES = 2000  # 16 MiB of log between checkpoints: their two extra fsyncs are spread over thousands of mails
_SHRINK_FROM_PAGES = 4096  # 32 MiB of empty pages are kept for reuse
_SHRINK_STEP_PAGES = 512
_BUSY_SECONDS = 30.0

Durability = Literal["FULL", "NORMAL"]


class SpoolError(ProblemError):
    """The spool cannot do what was asked right now; nothing that it acknowledged is lost."""


class SpoolFullError(SpoolError):
    """No room: the peer is asked to come back later."""


class SpoolDamagedError(SpoolError):
    """The file cannot be trusted; an administrator must act."""


class SpoolFile:
    """One opened connection to the spool in a folder, which both are made when they are new.

    `FULL` makes every commit durable before it returns: for bytes that are about to be acknowledged, and for what a
    person orders. `NORMAL` may lose the last commits in a power failure (never in a crash of the process): enough for
    ingest, which then only does again what can be done again.
    """

    def __init__(self, folder: Path, *, durability: Durability) -> None:
        """Raises SpoolError."""
        self.path = folder / DATABASE
        with translated(self.path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._turn = (folder / _TURN).open("wb")
            with self._own_turn():  # SQLite's own lock does not cover choosing the journal mode
                # A statement that is cached keeps what was last bound to it: of each size of group, the largest bodies.
                self._connection = sqlite3.connect(
                    self.path,
                    timeout=_BUSY_SECONDS,
                    isolation_level=None,
                    check_same_thread=False,
                    cached_statements=0,
                )
                try:
                    self._prepare(durability)
                except BaseException:
                    self.close()
                    raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Look, without changing anything."""
        with translated(self.path):
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Change all or nothing."""
        with translated(self.path), self._own_turn(), _transaction(self._connection):
            yield self._connection

    def shrink(self) -> None:
        """Give a little of a drained backlog's room back to the disk; call it while there is nothing to do.

        Never much at once: receiving waits meanwhile.
        """
        with self.reading() as connection:
            if _pragma(connection, "freelist_count") <= _SHRINK_FROM_PAGES:
                return
            with self._own_turn():
                # As a script: execute() stops after the first page.
                connection.executescript(f"PRAGMA incremental_vacuum({_SHRINK_STEP_PAGES})")

    def close(self) -> None:
        self._connection.close()
        self._turn.close()

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        """Wait in the kernel until no other process writes: SQLite would look again only every 100 ms.

        A receiver under load leaves gaps of 0.1 ms between its commits, which ingest then finds by luck (up to 330 ms
        measured, now 2 ms). The lock goes with its process.
        """
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if not self._turn.closed:
                fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _prepare(self, durability: Durability) -> None:
        connection, path = self._connection, self.path
        connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")  # this and the next matter only to a new file
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {durability}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * _PAGE_SIZE}")
        connection.execute("PRAGMA secure_delete = OFF")  # else forgetting a mail writes it again, as zeros
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            with _transaction(connection):
                for statement in schema.statements():
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {schema.VERSION}")
            # SQLite does so for its log, not for the database itself.
            sync(path.parent)
            sync(path.parent.parent)
            return
        found = (_pragma(connection, "application_id"), _pragma(connection, "user_version"))
        if found[0] != APPLICATION_ID:
            raise SpoolDamagedError(f"{path}: is not a mailposture spool; move it away and start again")
        if found[1] != schema.VERSION:
            raise SpoolError(
                f"{path}: was written by another version of mailposture (format {found[1]}); use that version"
            )
        missing = _pragma(connection, "page_count") * _pragma(connection, "page_size") - path.stat().st_size
        if missing > 0 and not path.with_name(path.name + "-wal").exists():
            raise SpoolDamagedError(_damage(path, f"{missing} bytes are missing at its end"))
        ledger.read(connection)


def sync(path: Path) -> None:
    """Make a file durable, or the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Takes the write lock at once, so that nothing has to be redone halfway."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, which name the file and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translation(path, error) from error
    except OSError as error:
        raise SpoolError(f"{path}: {error.strerror}; check the folder's owner and the disk") from error


def _translation(path: Path, error: sqlite3.Error) -> SpoolError:
    # The low byte is the primary code; extended codes (SQLITE_IOERR_WRITE, …) add to it.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return SpoolFullError(f"{path}: the disk is full; make room, reports are accepted again by themselves then")
    if code == sqlite3.SQLITE_IOERR:
        return SpoolFullError(
            f"{path}: the disk does not take writes ({error}); check the disk, its quota and its mount"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return SpoolDamagedError(_damage(path, str(error)))
    if code == sqlite3.SQLITE_BUSY:
        return SpoolError(
            f"{path}: another process held it for {_BUSY_SECONDS:.0f} s; look for a hanging mailposture process"
        )
    return SpoolError(f"{path}: {error}; {_ADVICE.get(code, _ADVICE[sqlite3.SQLITE_ERROR])}")


_ADVICE = {
    sqlite3.SQLITE_CANTOPEN: "it and what lies beside it must be files that this account may write",
    sqlite3.SQLITE_READONLY: "give this account the folder and the files in it",
    sqlite3.SQLITE_PERM: "give this account the folder and the files in it",
    sqlite3.SQLITE_ERROR: "start mailposture again: nothing that was acknowledged is lost",
}


def _damage(path: Path, what: str) -> str:
    """Never move a damaged spool aside by ourselves: senders retry for days, so waiting for a person loses nothing."""
    return (
        f"{path}: is damaged ({what}). Nothing was deleted and nothing new is accepted. Stop mailposture, move the "
        f"folder {path.parent} aside and start again; then save what the old file still holds with "
        f"`sqlite3 {DATABASE} .recover`, and give it to `mailposture import`"
    )
