"""Which messages were being read when ingest died, so that one that kills it each time does not stop the queue forever.

Decoding runs native code over untrusted bytes; what no exception can stop (an abort, the kernel's out-of-memory
killer) must cost one message, like every other fault. A note is left on disk while a batch is judged. If it is still
there at the next start, those messages are judged one by one, though stored together; one that was alone when the
process died, several times in a row, is not judged again.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from collector.spool import Spooled

_DEATHS = 3  # of the process, with the same message alone: a kill from outside hits another one each time


class Suspects:
    """The note of one ingest process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._note = folder / "judging"
        self._first, self._last, self._deaths = self._read()

    @property
    def are_there(self) -> bool:
        """Whether to judge messages one by one."""
        return bool(self._last)

    @contextmanager
    def judging(self, batch: Sequence[Spooled]) -> Iterator[bool]:
        """Leave the note while a batch is judged; yields whether to judge it at all."""
        first, last = batch[0].id, batch[-1].id
        alone = self._first == self._last == first == last
        deaths = self._deaths + 1 if alone else 1
        if first > self._last:
            self._first = self._last = 0  # past the suspects
        self._note.write_text(json.dumps([first, last, deaths]), encoding="utf-8")
        yield deaths <= _DEATHS
        self._note.unlink()

    def _read(self) -> tuple[int, int, int]:
        with suppress(FileNotFoundError, ValueError, TypeError):  # a torn note suspects nobody
            first, last, deaths = map(int, json.loads(self._note.read_text(encoding="utf-8")))
            return first, last, deaths
        return 0, 0, 0
