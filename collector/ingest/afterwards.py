"""What kinds of reports do once their reports are stored, in a thread of its own, so that storing never waits."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from mailposture.clickhouse import timeouts
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.faults import reason
from mailposture.problems import ProblemError
from reports.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

log = structlog.get_logger()

_AFTER_A_FAULT: Final = 60.0  # seconds until the next try
_PATIENCE: Final = 2.0  # seconds that a round gets to end; it is one of many, and is done again


class Afterwards:
    """Runs `roll_up` and `look_up` of each kind that has them, round by round, from start() to stop()."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="afterwards", daemon=True)

    def follow(self, config: Config) -> None:
        """Go by another configuration from the next round on."""
        self._config = config

    def start(self) -> None:
        """Begin, once the database is ready."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round that is under way, or leave it."""
        self._stopping.set()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        rounds = [kind.roll_up for kind in KINDS if kind.roll_up is not None]
        rounds += [partial(_now, kind.look_up) for kind in KINDS if kind.look_up is not None]
        due = dict.fromkeys(rounds, 0.0)
        while due and not self._stopping.is_set():
            todo = min(due, key=due.__getitem__)
            if self._stopping.wait(max(0.0, due[todo] - time.monotonic())):
                return
            due[todo] = time.monotonic() + self._round(todo)

    def _round(self, todo: Callable[[Client, Config], float]) -> float:
        """Seconds until its next one. A fault of one ends none of the others."""
        try:
            user = self._config.clickhouse.collector_user
            with closing(connect(self._config, user=user, silence=timeouts.WORK)) as client:
                return todo(client, self._config)
        except (ClickHouseError, ProblemError, OSError) as error:
            why = reason(error) if isinstance(error, ClickHouseError) else str(error)
            log.warning("what is done after storing has to wait", reason=why)
            return _AFTER_A_FAULT


def _now(look_up: Callable[[Client, Config, datetime], float], client: Client, config: Config) -> float:
    return look_up(client, config, datetime.now(UTC))
