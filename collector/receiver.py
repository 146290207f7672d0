"""The receiver: a process that only receives, so that parsing and signatures are never in the way of whoever delivers.

It also serves metrics and health for the whole collector. It must stay light: reports are not read here.
"""

from __future__ import annotations

import asyncio
import resource
import signal
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import structlog
import uvloop

from collector.documents.limits import LIMITS
from collector.health import serve_health
from collector.heartbeat import Heartbeat
from collector.metrics import note_configuration
from collector.sources.https.server import serve_https
from collector.sources.mailbox.health import MailboxCollector
from collector.sources.mailbox.loop import MailboxLoop
from collector.sources.mailbox.mailboxes import folder_of, mailboxes_of
from collector.sources.mailbox.remembered import Remembered
from collector.sources.memory import BodyMemory
from collector.sources.smtp.server import serve_smtp
from collector.spool import Spool, SpoolQueue
from reports.kinds import BY_NAME
from reports.reloading import Reloading

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config.model import Config

log = structlog.get_logger()


def run_receiver(path: Path, config: Config) -> None:
    """Receive until SIGTERM: SMTP, LMTP, HTTPS and mailboxes into the spool; also serves metrics and health.

    SIGHUP has it read the configuration file again.
    """
    # Each connection needs a file descriptor; the usual soft limit of 1024 is below what the limits allow.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(_receive(Reloading(path, config, note=partial(note_configuration, "receiver"))))


async def _receive(reloading: Reloading) -> None:
    config = reloading.config
    folder = config.data / "spool"
    with closing(Spool(folder, keep_free=config.spool.keep_free)) as spool, closing(SpoolQueue(folder)) as queue:
        heartbeat = Heartbeat(config.data / "run")
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        memory = BodyMemory(largest=max(config.smtp.limits.message_size, config.https.body_size, LIMITS.message_bytes))
        mailboxes = [
            MailboxLoop(
                mailbox,
                spool=spool,
                memory=memory,
                remembered=Remembered(folder_of(config), mailbox.name, kinds=BY_NAME),
            )
            for mailbox in mailboxes_of(config)
        ]
        health = await serve_health(
            config.metrics.collector,
            spool=spool,
            queue=queue,
            heartbeat=heartbeat,
            mailboxes=MailboxCollector([mailbox.health for mailbox in mailboxes]),
        )
        smtp = await serve_smtp(config.smtp, recipients=config.accepted_recipients(), spool=spool, memory=memory)
        https = await serve_https(config.https, domains=config.domains, spool=spool, memory=memory)
        for mailbox in mailboxes:
            mailbox.start()

        def follow() -> None:
            new = reloading.again()
            if new is not None:
                smtp.shared.take_for(new.accepted_recipients())
                https.take_for(new.domains)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, follow)
        log.info("receiving")
        await stopping.wait()
        log.info("shutting down: finishing transfers")
        await asyncio.gather(smtp.close(), https.close())
        for mailbox in mailboxes:
            await asyncio.to_thread(mailbox.stop)
        await health.cleanup()
