"""A receiving process to be killed: SMTP into the spool in the folder it is given. Prints its port."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from collector.sources.memory import BodyMemory
from collector.sources.smtp.server import serve_smtp
from collector.spool import Spool
from mailposture import logs
from mailposture.config.model import Smtp
from reports.envelope import Source


async def receive(folder: Path) -> None:
    spool = Spool(folder, keep_free=0)
    config = Smtp.model_validate({"listen": "127.0.0.1:0"})
    server = await serve_smtp(
        config, recipients=["tlsrpt@example.com"], spool=spool, memory=BodyMemory(largest=config.limits.message_size)
    )
    sys.stdout.write(f"{server.addresses[Source.SMTP][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logs.set_up("receiver")
    uvloop.run(receive(Path(sys.argv[1])))
