"""A log file that several processes append to, kept below a size."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_MOST_BYTES = 10 * 1024 * 1024
_KEPT = 4  # older files, .1 the newest


class LogFile:
    """A file and the older ones beside it: `name`, `name.1`, …, together about five times `most` bytes.

    Whoever has it open for appending goes on writing into the same file: it is copied and emptied, never moved. So no
    process depends on another for its log, and what a process says as it dies is there too. A line that is written in
    the instant between copying and emptying may be lost.
    """

    def __init__(self, path: Path, *, most: int = _MOST_BYTES, kept: int = _KEPT) -> None:
        self.path = path
        self._most = most
        self._kept = kept

    def keep_small(self) -> None:
        """Begin the file again if it has grown too large; call this now and then.

        On a disk that is full it waits for room.
        """
        with contextlib.suppress(OSError):
            if self.path.stat().st_size > self._most:
                self._begin_again()

    def _begin_again(self) -> None:
        unfinished = self._older(0)
        try:
            shutil.copyfile(self.path, unfinished)
            os.truncate(self.path, 0)
            for number in range(self._kept - 1, -1, -1):
                with contextlib.suppress(FileNotFoundError):
                    self._older(number).replace(self._older(number + 1))
        finally:
            unfinished.unlink(missing_ok=True)

    def _older(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
