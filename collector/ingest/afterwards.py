"""What kinds of reports look up once their reports are stored, in a thread of its own, so that storing never waits."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.faults import reason
from mailposture.problems import ProblemError
from reports.kinds import KINDS

if TYPE_CHECKING:
    from mailposture.config.model import Config

log = structlog.get_logger()

_AFTER_A_FAULT: Final = 60.0  # seconds until the next try
_PATIENCE: Final = 2.0  # seconds that a round gets to end; it is one of many, and is done again


class Afterwards:
    """Runs `afterwards` of each kind that has it, round by round, from start() to stop()."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)

    def start(self) -> None:
        """Begin, once the database is ready."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way, or leave it."""
        self._stopping.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = self._round()
            except (ClickHouseError, ProblemError, OSError) as error:
                why = reason(error) if isinstance(error, ClickHouseError) else str(error)
                log.warning("what is looked up after storing has to wait", reason=why)
                pause = _AFTER_A_FAULT

    def _round(self) -> float:
        """Seconds until the next one."""
        now = datetime.now(UTC)
        with closing(connect(self._config, user=self._config.clickhouse.collector_user)) as client:
            return min(kind.afterwards(client, self._config, now) for kind in KINDS if kind.afterwards is not None)
