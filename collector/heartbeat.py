"""Signs of life that ingest leaves for the receiver, which answers for both processes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STILL = 30.0  # seconds without a sign of life after which ingest counts as dead


class Heartbeat:
    """Signs of life of ingest, left for the receiver in a folder: the process runs, the database answers."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._alive, self._stored = folder / "alive", folder / "database"

    def alive(self) -> None:
        """Ingest runs."""
        self._alive.touch()

    def database(self, *, answers: bool) -> None:
        """ClickHouse answered, or did not, the last time it was asked."""
        if answers:
            self._stored.touch()
        else:
            self._stored.unlink(missing_ok=True)

    @property
    def ingest_runs(self) -> bool:
        """Whether there was a sign of life lately."""
        try:
            return time.time() - self._alive.stat().st_mtime < _STILL
        except FileNotFoundError:
            return False

    @property
    def database_answers(self) -> bool:
        """Whether ClickHouse took or answered what ingest last asked of it, as far as ingest knows."""
        return self.ingest_runs and self._stored.exists()
