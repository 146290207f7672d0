"""Ingest: a process of its own that judges what the spool holds and writes it to ClickHouse, on a second core."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.authenticate import DkimVerifier, KeyCache
from collector.heartbeat import Heartbeat
from collector.judge import Judge
from collector.pipeline import Pipeline
from collector.spool import HeldMessages, SpoolQueue
from collector.writer import Writer
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.prepare import prepare
from mailposture.ownership import Ownership
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config import Config

log = structlog.get_logger()

_IDLE = 0.05  # seconds between two looks at an empty spool
_PING = 5.0  # seconds between two questions to ClickHouse while there is nothing to store
_RETRY = 2.0  # seconds between two tries to reach the database at start
_PRUNE = 600.0  # seconds between two prunings of what is held back


def run_ingest(config: Config) -> None:
    """Store until SIGTERM: from the spool into ClickHouse."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with ExitStack() as stack:
        folder = config.data / "spool"
        queue = stack.enter_context(closing(SpoolQueue(folder)))
        held = stack.enter_context(closing(HeldMessages(folder)))
        rules = config.authentication
        keys = stack.enter_context(closing(KeyCache(nameservers=rules.nameservers, timeout=rules.dns_timeout)))
        heartbeat = Heartbeat(config.data / "run")
        client = _connect(config, heartbeat, stopping)
        if client is None:
            return
        judge = Judge(verifier=DkimVerifier(keys=keys), ownership=Ownership(config), rules=rules)
        writer = Writer(client=client, database=config.clickhouse.database)
        pipeline = Pipeline(
            queue=queue, judge=judge, writer=writer, heartbeat=heartbeat, stopping=stopping.is_set, pause=stopping.wait
        )
        log.info("storing")
        pinged = pruned = 0.0
        while not stopping.is_set():
            if pipeline.step():
                continue
            now = time.monotonic()
            if now - pinged > _PING:
                heartbeat.database(answers=client.ping())
                pinged = now
            if now - pruned > _PRUNE:
                held.prune(held_size=config.spool.held_size, held_for=config.spool.held_for)
                pruned = now
            stopping.wait(_IDLE)


def _connect(config: Config, heartbeat: Heartbeat, stopping: threading.Event) -> Client | None:
    """A client for a database that is ready, however long that takes; None if we are told to stop meanwhile."""
    while not stopping.is_set():
        heartbeat.alive()
        try:
            client = connect(config, user=config.clickhouse.collector_user)
            prepare(client, config)
        except (ProblemError, ClickHouseError) as error:
            heartbeat.database(answers=False)
            log.warning("the database is not ready; trying again, the spool keeps what arrives", reason=str(error))
            stopping.wait(_RETRY)
        else:
            heartbeat.database(answers=True)
            return client
    return None
