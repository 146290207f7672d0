"""Reports by mail: the SMTP and LMTP listeners.

They accept mail for the configured recipients only, put it into the spool as it came, and acknowledge it when it is on
disk. What one client does never holds another up: connections, time, memory and errors are all bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from collector.sources.certificate import Certificate
from collector.sources.smtp.session import SmtpSession
from collector.sources.smtp.syntax import comparable, spellings
from mailposture.net.client_networks import client_network
from mailposture.net.listening import listening_as
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.sources.memory import BodyMemory
    from collector.sources.smtp.connection import SmtpConnection
    from collector.spool import Spool
    from mailposture.config.model import Listen, Smtp

_KEYS = {Source.SMTP: "smtp.listen", Source.LMTP: "smtp.lmtp"}
_TELL_AGAIN_SECONDS = 10.0
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
    """The running listeners, and what their sessions share."""

    def __init__(self, config: Smtp, *, recipients: Iterable[str], spool: Spool, memory: BodyMemory) -> None:
        self.limits = config.limits
        self.hostname = config.hostname or socket.gethostname()
        self.spool = spool
        self.certificate = Certificate(config.tls) if config.tls else None
        self.memory = memory
        self.addresses: dict[Source, tuple[str, int]] = {}
        self.closing = False
        self._recipients = frozenset(form for address in recipients for form in spellings(address))
        self._listeners: list[asyncio.Server] = []
        self._sessions: set[SmtpConnection] = set()
        self._sessions_of_client: Counter[str] = Counter()
        self._ended: Counter[tuple[Source, str]] = Counter()  # by us, and not told yet
        self._told_at: dict[tuple[Source, str], float] = {}
        self._deserted = asyncio.Event()  # no session is left
        self._deserted.set()

    async def listen(self, source: Source, address: Listen) -> None:
        """Open one more listener."""
        loop = asyncio.get_running_loop()
        # By host and port rather than a socket of ours: then the loop sets TCP_NODELAY, without which every answer
        # waits for the client's delayed acknowledgement.
        with listening_as(_KEYS[source], address):
            listener = await loop.create_server(
                lambda: SmtpSession(self, source=source, loop=loop), address.host, address.port, backlog=1024
            )
        self._listeners.append(listener)
        self.addresses[source] = listener.sockets[0].getsockname()[:2]
        _log.info("listening for mail", protocol=source.value, address=str(address), port=self.addresses[source][1])

    def accepts(self, address: str) -> bool:
        """Whether reports are expected at an address. Sub-addresses (`tlsrpt+x@`) only if they are configured."""
        return comparable(address) in self._recipients

    def admit(self, session: SmtpConnection) -> str | None:
        """Count a new connection; returns the reason to turn it away, if there is one."""
        self._sessions.add(session)
        self._deserted.clear()
        client = client_network(session.peer)
        self._sessions_of_client[client] += 1
        if self.closing:
            return "shutting-down"
        if len(self._sessions) > self.limits.connections:
            return "too-many-connections"
        if self._sessions_of_client[client] > self.limits.connections_per_client:
            return "too-many-connections-of-client"
        return None

    def dismiss(self, session: SmtpConnection) -> None:
        """A connection ended."""
        self._sessions.discard(session)
        client = client_network(session.peer)
        self._sessions_of_client[client] -= 1
        if not self._sessions_of_client[client]:
            del self._sessions_of_client[client]
        if not self._sessions:
            self._deserted.set()

    def tell_of_end(self, peer: str, source: Source, reason: str) -> None:
        """Log that we ended a connection: the first for a reason, then now and then, lest strangers fill the disk."""
        kind, now = (source, reason), asyncio.get_running_loop().time()
        self._ended[kind] += 1
        if now - self._told_at.get(kind, -math.inf) >= _TELL_AGAIN_SECONDS:
            count = self._ended.pop(kind)
            _log.info("connection ended", peer=peer, protocol=source.value, reason=reason, since_last_told=count)
            self._told_at[kind] = now

    async def close(self, grace: float = 10.0) -> None:
        """Stop listening, tell idle clients to come back later, let running transfers end within `grace` seconds."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for session in tuple(self._sessions):
            session.leave_when_idle()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._deserted.wait(), grace)
        for session in tuple(self._sessions):
            session.abort()
        await self._deserted.wait()
