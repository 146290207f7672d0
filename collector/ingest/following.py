"""Ingest follows the configuration: domains that came or left are judged by, and written into the database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from mailposture.clickhouse.faults import reason
from mailposture.problems import ProblemError
from reports.prepare import write_configuration

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from clickhouse_connect.driver import Client

    from collector.ingest.afterwards import Afterwards
    from collector.ingest.judge import Judge
    from collector.ingest.pipeline import Pipeline
    from mailposture.config.model import Config
    from reports.reloading import Reloading

log = structlog.get_logger()

_AGAIN: Final = 10.0  # seconds between two tries to write it


class Following:
    """What SIGHUP asks for is done by step(), which ingest calls between two batches."""

    def __init__(
        self,
        reloading: Reloading,
        *,
        pipeline: Pipeline,
        afterwards: Afterwards,
        client: Client,
        judge_of: Callable[[Config], Judge],
        asked: Callable[[], bool],
    ) -> None:
        """`asked`: whether SIGHUP came since it was last called."""
        self._reloading = reloading
        self._pipeline = pipeline
        self._afterwards = afterwards
        self._client = client
        self._judge_of = judge_of
        self._asked = asked
        self._unwritten: Config | None = None
        self._due = 0.0

    def step(self, storing: Executor) -> Future[None] | None:
        """Read the configuration again if that was asked for; returns the work of writing it, in the storing thread."""
        if self._asked() and (config := self._reloading.again()) is not None:
            self._pipeline.judge_by(self._judge_of(config))
            self._afterwards.follow(config)
            self._unwritten, self._due = config, 0.0
        if self._unwritten is None or time.monotonic() < self._due:
            return None
        self._due = time.monotonic() + _AGAIN
        return storing.submit(self._write, self._unwritten)

    def _write(self, config: Config) -> None:
        try:
            write_configuration(self._client, config)
        except (ClickHouseError, ProblemError) as error:
            why = reason(error) if isinstance(error, ClickHouseError) else str(error)
            log.warning("the configuration is not in the database yet; trying again", reason=why)
            return
        if self._unwritten is config:
            self._unwritten = None
