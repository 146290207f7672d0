"""A Maildir on this machine, as a mail server delivers to; subfolders as Dovecot and Courier have them (`.a.b`).

How far it was read is a moment: files come into a folder by a rename, which sets the time of their last change, so new
ones come last. A flag that changes brings a mail back to the end, where it is looked at again. What came this very
moment waits for the next look, since the clock of a file system is coarse. Nothing is ever deleted or marked as seen.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from collector.documents.limits import LIMITS
from collector.sources.mailbox.mailbox import (
    Fetched,
    Listed,
    LostError,
    RefusedError,
    TooLargeError,
    Trouble,
    first_listed,
)
from collector.sources.mailbox.maildir_files import MaildirFile, delivered_at, files_in, read_mail
from reports.envelope import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mailposture.config.mailboxes import Maildir as Settings

_LISTED_AT_ONCE: Final = 100
_SETTLED: Final = 1_000_000_000  # nanoseconds after which no file can still get an earlier time than others have


class MaildirMailbox:
    """One folder of it."""

    source = Source.MAILDIR

    def __init__(self, settings: Settings, *, clock: Callable[[], int] = time.time_ns) -> None:
        """`clock`: that of the file system, in nanoseconds since 1970."""
        self._settings = settings
        self._clock = clock
        self.name = settings.name
        self.trusted = settings.trusted
        self.authserv_id = settings.authserv_id

    def mail_name(self, key: str) -> str:
        return f"{self.name} file {key}"

    @contextmanager
    def open(self) -> Iterator[MaildirSession]:
        """A session; the folder is there and can be read."""
        folder = folder_in(self._settings.path, self._settings.folder)
        for name in ("new", "cur"):
            if not (folder / name).is_dir():
                raise LostError(f"{folder} is no Maildir: {folder / name} is not there", Trouble.FOLDER)
            if not os.access(folder / name, os.R_OK | os.X_OK):
                raise LostError(f"{folder / name} must not be read; allow it to mailposture's user", Trouble.FOLDER)
        yield MaildirSession(folder, self._settings, self._clock)


def folder_in(maildir: Path, name: str) -> Path:
    """`a/b` is `.a.b` (Maildir++), and INBOX the Maildir itself."""
    return maildir if name.upper() == "INBOX" else maildir / f".{name.replace('/', '.')}"


class MaildirSession:
    """A folder. Keys are the unique parts of file names."""

    end = ""  # which the last mail says
    moves_whole = True

    def __init__(self, folder: Path, settings: Settings, clock: Callable[[], int]) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._known: dict[str, MaildirFile] = {}
        self.epoch = str(folder.stat().st_ino)
        self.read_only = settings.processed is None
        self.waiting = 0

    def mails(self, after: str) -> Iterator[list[Listed]]:
        now = self._clock()
        if after > _position(now, ""):  # the clock was set back: what came since would seem to be old
            after = ""
        found = [
            each
            for each in files_in(self._folder)
            if each.changed <= now - _SETTLED and _position(each.changed, each.key) > after
        ]
        found.sort(key=lambda each: (each.changed, each.key))
        for start in range(0, len(found), _LISTED_AT_ONCE):
            some = found[start : start + _LISTED_AT_ONCE]
            self.waiting = len(found) - start - len(some)
            self._known = {each.key: each for each in some}
            yield [Listed(each.key, each.size, position=_position(each.changed, each.key)) for each in some]

    def glance(self) -> tuple[int, Listed | None]:
        return first_listed(self)

    def present(self, keys: Sequence[str]) -> set[str]:
        return {each.key for each in files_in(self._folder)} & set(keys)

    def fetch(self, keys: Sequence[str]) -> Iterator[Fetched]:
        for key in keys:
            try:
                yield self.fetch_large(key, limit=LIMITS.message_bytes)
            except TooLargeError:
                yield Fetched(key, None, None)

    def fetch_large(self, key: str, *, limit: int) -> Fetched:
        try:
            file = self._find(key)
            body = read_mail(self._path(file), limit=limit) if file else None
        except OSError as error:
            raise RefusedError(str(error)) from error
        return Fetched(key, delivered_at(file) if file else None, body)

    def move(self, keys: Sequence[str], kind: str) -> None:
        """A rename, which keeps flags, and what is unread in `new`."""
        try:
            destination = self._made(folder_in(self._settings.path, self._settings.processed_folder(kind)))
            for key in keys:
                if (file := self._find(key)) is not None:
                    self._path(file).rename(_free(destination / file.folder / file.name))
        except OSError as error:
            raise RefusedError(str(error)) from error

    def cannot_move(self) -> str:
        for folder in (*(self._folder / name for name in ("new", "cur")), self._settings.path):
            if not os.access(folder, os.W_OK | os.X_OK):
                return f"{folder} must not be written"
        return ""

    def wait(self, stopping: threading.Event, *, at_most: float) -> None:
        stopping.wait(min(at_most, self._settings.poll.total_seconds()))

    def _path(self, file: MaildirFile) -> Path:
        return self._folder / file.folder / file.name

    def _find(self, key: str) -> MaildirFile | None:
        """Where it is now; None if it is gone."""
        if (known := self._known.get(key)) is None or not self._path(known).exists():
            self._known |= {each.key: each for each in files_in(self._folder) if each.key == key}
            known = self._known.get(key)
        return known if known is not None and self._path(known).exists() else None

    def _made(self, folder: Path) -> Path:
        """A folder of this Maildir, with the rights and, where we may, the owner of the one that we read."""
        model = self._folder.stat()
        for path in (folder, *(folder / name for name in ("tmp", "new", "cur"))):
            if not path.is_dir():
                path.mkdir()
                path.chmod(model.st_mode & 0o7777)
                if os.geteuid() == 0:
                    os.chown(path, model.st_uid, model.st_gid)
        return folder


def _position(changed: int, key: str) -> str:
    """In the order of text."""
    return f"{changed:020d}/{key}"


def _free(path: Path) -> Path:
    """A name that nothing has: whoever copies mails between Maildirs may have brought one twice."""
    key, colon, flags = path.name.partition(":")
    number, free = 0, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{key},again={number}{colon}{flags}")
    return free
