"""The files of a Maildir: a mail each, whose name says when it came and, after `:2,`, what was done with it.

Another program may rename, move or delete them at any moment.
"""

from __future__ import annotations

import os
import re
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.sources.mailbox.mailbox import RefusedError, TooLargeError
from reports.rejection import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TIME: Final = re.compile(r"(\d{9,10})\.")
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_COMPRESSED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"Dovecot-LZ4")
_LONGEST_MAGIC: Final = 16


class MaildirFile(NamedTuple):
    """A mail, as it was found."""

    key: str  # its unique name
    folder: str  # new or cur
    name: str
    changed: int  # nanoseconds: when it came into this Maildir, or its name last changed
    size: int  # bytes on disk
    modified: float


def key_of(name: str) -> str:
    """The unique part of a file's name, which stays when flags change."""
    return name.partition(":")[0]


def files_in(maildir: Path) -> Iterator[MaildirFile]:
    """All mails that nobody has marked as deleted. Raises OSError."""
    for folder in ("new", "cur"):
        with os.scandir(maildir / folder) as entries:
            for entry in entries:
                flags = entry.name.partition(":2,")[2]
                if entry.name.startswith(".") or "T" in flags:
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # by now it has another name
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield MaildirFile(
                        key_of(entry.name), folder, entry.name, found.st_ctime_ns, found.st_size, found.st_mtime
                    )


def delivered_at(file: MaildirFile) -> datetime:
    """The earlier of the times that its name and the file have: whoever copies a mail may keep either."""
    named = _TIME.match(file.name)
    moment = min(file.modified, float(named[1])) if named else file.modified
    return datetime.fromtimestamp(max(0.0, moment), UTC)


def read_mail(path: Path, *, limit: int) -> bytes:
    """Its bytes; those of a compressed one unpacked. Raises TooLargeError, RefusedError and OSError."""
    with os.fdopen(os.open(path, _READ), "rb") as file:
        body = file.read(limit + 1)
    if body.startswith(_COMPRESSED):
        body = _unpacked(body, limit=limit)
    if len(body) > limit:
        raise TooLargeError(len(body))
    return body


def _unpacked(body: bytes, *, limit: int) -> bytes:
    """What Dovecot's plugin (mail_compress, formerly zlib) has compressed."""
    import io  # noqa: PLC0415

    from collector.importing import unpacking  # noqa: PLC0415  it takes memory, and few Maildirs need it

    name = unpacking.format_of(body[:_LONGEST_MAGIC])
    try:
        stream = unpacking.counted(unpacking.opened(io.BytesIO(body), name), unpacking.Allowance(len(body)))
        return stream.read(limit + 1)
    except (*unpacking.FAULTS, RejectedError) as error:
        raise RefusedError(f"it is compressed ({name}) and damaged: {error}") from error
