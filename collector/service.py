"""The collector's two processes: the receiver only receives, ingest decodes and writes.

Splitting them keeps parsing and signatures out of the way of whoever delivers, and uses a second core. They share the
spool, and through prometheus_client's multiprocess mode their metrics.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import structlog
import uvloop
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.authenticate import DkimVerifier, KeyCache
from collector.health import Heartbeat, serve_health
from collector.judge import Judge
from collector.pipeline import Pipeline
from collector.sources.https import serve_https
from collector.sources.imap import ImapSource
from collector.sources.smtp import serve_smtp
from collector.spool import HeldMessages, Spool, SpoolQueue
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


def run_receiver(config: Config) -> None:
    """Receive until SIGTERM: SMTP, LMTP, HTTPS and mailboxes into the spool; also serves metrics and health."""
    uvloop.run(_receive(config))


async def _receive(config: Config) -> None:
    folder = config.data / "spool"
    with closing(Spool(folder, keep_free=config.spool.keep_free)) as spool, closing(SpoolQueue(folder)) as queue:
        heartbeat = Heartbeat(config.data / "run")
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        health = await serve_health(config.metrics.collector, spool=spool, queue=queue, heartbeat=heartbeat)
        smtp = await serve_smtp(config.smtp, recipients=config.accepted_recipients(), spool=spool)
        https = await serve_https(config.https, domains=config.domains, spool=spool)
        mailboxes = [ImapSource(mailbox, spool=spool) for mailbox in config.imap]
        for mailbox in mailboxes:
            mailbox.start()
        log.info("receiving")
        await stopping.wait()
        log.info("stopping: finishing what was begun")
        await asyncio.gather(smtp.close(), https.close())
        for mailbox in mailboxes:
            await asyncio.to_thread(mailbox.stop)
        await health.cleanup()


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
