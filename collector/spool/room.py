"""Whether the disk has room for more: it is not ours alone, and a full one stops everybody."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from collector.spool.database import SpoolError, SpoolFullError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the spool takes nothing, as a value to keep: a raised exception holds its frames, and they hold bodies."""

    kind: type[SpoolError]
    detail: str

    def error(self) -> SpoolError:
        """A new exception to raise for one caller."""
        return self.kind(self.detail)


def shortage_of_room(folder: Path, *, keep_free: int) -> Refusal | None:
    """Why nothing may be put into a spool's folder now: fewer than `keep_free` bytes are free. None if it may."""
    try:
        disk = os.statvfs(folder)
    except OSError as error:
        return Refusal(SpoolError, f"{folder}: {error.strerror}; is the disk mounted?")
    free = disk.f_bavail * disk.f_frsize
    if free >= keep_free:
        return None
    return Refusal(
        SpoolFullError,
        f"{folder}: {free >> 20} MiB are free, spool.keep_free is {keep_free >> 20} MiB; make room, then reports are "
        "accepted again",
    )
