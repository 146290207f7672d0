"""Ingest: a process of its own that judges what the spool holds and writes it to ClickHouse, on a second core."""

from __future__ import annotations

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector import metrics
from collector.garbage import look_for_garbage_rarely
from collector.heartbeat import Heartbeat
from collector.ingest.afterwards import Afterwards
from collector.ingest.following import Following
from collector.ingest.judge import Judge
from collector.ingest.pipeline import Pipeline, is_heavy
from collector.ingest.suspects import Suspects
from collector.ingest.writer import Writer
from collector.spool import HeldMessages, HeldState, SpoolError, SpoolQueue
from collector.trust import DkimVerifier, KeyCache, SpfVerifier
from mailposture.clickhouse import timeouts
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.faults import reason
from mailposture.problems import ProblemError
from reports.prepare import prepare
from reports.reloading import Reloading

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

log = structlog.get_logger()

_Done = TypeVar("_Done")

_BEAT = 1.0  # seconds between two signs of life while ClickHouse takes its time
_IDLE = 0.05  # seconds between two looks at an empty spool
_PING = 5.0  # seconds between two questions to ClickHouse while there is nothing to store
_RETRY = 2.0  # seconds between two tries to reach the database at start
_PRUNE = 600.0  # seconds between two looks for what was held long enough


def run_ingest(path: Path, config: Config) -> None:
    """Store until SIGTERM: from the spool into ClickHouse. SIGHUP has it read the configuration file again."""
    stopping, reloaded = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    signal.signal(signal.SIGHUP, lambda *_: reloaded.set())
    with ExitStack() as stack:
        folder = config.data / "spool"
        queue = stack.enter_context(closing(SpoolQueue(folder, rules=config.spool)))
        held = stack.enter_context(closing(HeldMessages(folder, rules=config.spool)))
        rules = config.authentication
        keys = stack.enter_context(closing(KeyCache(nameservers=rules.nameservers, timeout=rules.dns_timeout)))
        heartbeat = Heartbeat(config.data / "run")
        storing = stack.enter_context(ThreadPoolExecutor(1, "storing"))
        client = _connect(config, storing, heartbeat, stopping)
        if client is None:
            return
        spf = None
        if config.smtp.mx:
            spf = stack.enter_context(closing(SpfVerifier(nameservers=rules.nameservers, timeout=rules.dns_timeout)))
        judge_of = partial(Judge, verifier=DkimVerifier(keys=keys), spf=spf)
        writer = Writer(client=client, database=config.clickhouse.tables_database)
        pipeline = Pipeline(
            queue=queue,
            judge=judge_of(config),
            writer=writer,
            heartbeat=heartbeat,
            suspects=Suspects(config.data / "run"),
            stopping=stopping.is_set,
            pause=stopping.wait,
        )
        afterwards = Afterwards(config)
        afterwards.start()
        stack.callback(afterwards.stop)
        following = Following(
            Reloading(path, config, note=partial(metrics.note_configuration, "ingest")),
            pipeline=pipeline,
            afterwards=afterwards,
            client=client,
            judge_of=judge_of,
            asked=partial(_came, reloaded),
        )
        log.info("storing")
        try:
            upkeep = Upkeep(held=held, client=client, heartbeat=heartbeat)
            keep_storing(pipeline, upkeep, following=following, storing=storing, heartbeat=heartbeat, stopping=stopping)
        except SpoolError as error:
            # The next start claims again what could not be settled; it counts once.
            log.error("the spool failed: its disk is full or the file is damaged; exiting", reason=str(error))
            sys.exit(1)


def _came(event: threading.Event) -> bool:
    """Whether an event came since this was last asked."""
    came = event.is_set()
    event.clear()
    return came


def keep_storing(
    pipeline: Pipeline,
    upkeep: Upkeep,
    *,
    following: Following,
    storing: Executor,
    heartbeat: Heartbeat,
    stopping: threading.Event,
) -> None:
    """Judge one batch while ClickHouse, in the thread of `storing`, writes the one before."""
    look_for_garbage_rarely()
    under_way: Future[None] | None = None
    while not stopping.is_set():
        heartbeat.alive()
        judged = pipeline.take()
        if under_way is not None:
            _finished(under_way, heartbeat)
        upkeep.prune()
        written = following.step(storing)
        if written is not None:
            _finished(written, heartbeat)
        under_way = storing.submit(pipeline.store, judged) if judged else None
        if under_way is None:
            upkeep.ping()
            stopping.wait(_IDLE)
        elif is_heavy(judged):
            _finished(under_way, heartbeat)
            under_way = None
        del judged
    if under_way is not None:
        _finished(under_way, heartbeat)


def _finished(work: Future[_Done], heartbeat: Heartbeat) -> _Done:
    """What work for ClickHouse gave. A database that hangs is no fault of ingest, which says so while it waits."""
    while True:
        heartbeat.alive()
        if wait([work], timeout=_BEAT).done:
            return work.result()


class Upkeep:
    """What is due now and then."""

    def __init__(self, *, held: HeldMessages, client: Client, heartbeat: Heartbeat) -> None:
        self._held = held
        self._client = client
        self._heartbeat = heartbeat
        self._pinged = self._pruned = 0.0

    def ping(self) -> None:
        """Ask whether ClickHouse is there; only while nothing is being written, for the client is not shared."""
        if time.monotonic() - self._pinged > _PING:
            self._heartbeat.database(answers=self._client.ping(timeouts.KNOCK))
            self._pinged = time.monotonic()

    def prune(self) -> None:
        """Drop what was held long enough, and judge again what was held while our clock was ahead."""
        if time.monotonic() - self._pruned > _PRUNE:
            if again := self._held.judge_again():
                log.info("judging held messages again: the clock was ahead when they were held", messages=again)
            for state in HeldState:
                pruned = self._held.prune(state)
                metrics.PRUNED.labels(state.value, "age").inc(pruned.age)
                metrics.PRUNED.labels(state.value, "budget").inc(pruned.budget)
                if pruned.age or pruned.budget:
                    log.info("dropped held messages", state=state.value, too_old=pruned.age, over_budget=pruned.budget)
            self._pruned = time.monotonic()


def _connect(config: Config, storing: Executor, heartbeat: Heartbeat, stopping: threading.Event) -> Client | None:
    """A client for a database that is ready, however long that takes; None if SIGTERM comes first."""
    while not stopping.is_set():
        try:
            client = _finished(storing.submit(_prepared, config), heartbeat)
        except (ProblemError, ClickHouseError) as error:
            heartbeat.database(answers=False)
            why = str(error) if isinstance(error, ProblemError) else reason(error)
            log.warning("the database is not ready; trying again, the spool keeps what arrives", reason=why)
            stopping.wait(_RETRY)
        else:
            heartbeat.database(answers=True)
            return client
    return None


def _prepared(config: Config) -> Client:
    client = connect(config, user=config.clickhouse.collector_user)
    prepare(client, config)
    return client
