"""Reports by mail: the SMTP and LMTP listeners.

They accept mail for the configured recipients only, put it into the spool as it came, and acknowledge it when it is on
disk. What one client does never holds another up: connections, time, memory and errors are all bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from collector.sources.smtp.session import SmtpSession
from collector.sources.smtp.shared import Shared
from mailposture.net.listening import listening_as
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.sources.memory import BodyMemory
    from collector.spool import Spool
    from mailposture.config.model import Listen, Smtp

_KEYS = {Source.SMTP: "smtp.listen", Source.LMTP: "smtp.lmtp"}
_log = structlog.get_logger()


async def serve_smtp(config: Smtp, *, recipients: Iterable[str], spool: Spool, memory: BodyMemory) -> SmtpServer:
    """Listen as configured. Raises ProblemError for an address that is taken, and for unusable certificates."""
    server = SmtpServer(config, recipients=recipients, spool=spool, memory=memory)
    try:
        for source, address in ((Source.SMTP, config.listen), (Source.LMTP, config.lmtp)):
            if address is not None:
                await server.listen(source, address)
    except BaseException:
        await server.close(grace=0)
        raise
    return server


class SmtpServer:
    """The running listeners."""

    def __init__(self, config: Smtp, *, recipients: Iterable[str], spool: Spool, memory: BodyMemory) -> None:
        self.shared = Shared(config, recipients=recipients, spool=spool, memory=memory)
        self.addresses: dict[Source, tuple[str, int]] = {}
        self._listeners: list[asyncio.Server] = []

    async def listen(self, source: Source, address: Listen) -> None:
        """Open one more listener."""
        loop = asyncio.get_running_loop()
        # By host and port rather than a socket of ours: then the loop sets TCP_NODELAY, without which every answer
        # waits for the client's delayed acknowledgement.
        with listening_as(_KEYS[source], address):
            listener = await loop.create_server(
                lambda: SmtpSession(self.shared, source=source, loop=loop), address.host, address.port, backlog=1024
            )
        self._listeners.append(listener)
        self.addresses[source] = listener.sockets[0].getsockname()[:2]
        _log.info("listening for mail", protocol=source.value, address=str(address), port=self.addresses[source][1])

    async def close(self, grace: float = 10.0) -> None:
        """Stop listening, send idle clients 421, let running transfers end within `grace` seconds."""
        shared = self.shared
        shared.closing = True
        for listener in self._listeners:
            listener.close()
        for session in tuple(shared.sessions):
            session.leave_when_idle()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(shared.deserted.wait(), grace)
        for session in tuple(shared.sessions):
            session.abort()
        await shared.deserted.wait()
