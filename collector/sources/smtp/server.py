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
from mailposture.net.admission import Admission
from mailposture.net.listening import listening_as
from mailposture.net.proxies import Proxies
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.sources.memory import BodyMemory
    from collector.sources.smtp.connection import SmtpConnection
    from collector.spool import Spool
    from mailposture.config.model import Listen, Smtp

_KEYS = {Source.SMTP: "smtp.listen", Source.LMTP: "smtp.lmtp"}
_LOG_AGAIN_SECONDS = 10.0
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
        self.admission = Admission(
            most=config.limits.connections,
            most_of_client=config.limits.connections_per_client,
            most_a_minute=config.limits.connections_per_minute,
        )
        self.hostname = config.hostname or socket.gethostname()
        self.spool = spool
        self.certificate = Certificate(config.tls) if config.tls else None
        self.memory = memory
        self.addresses: dict[Source, tuple[str, int]] = {}
        self.closing = False
        self._recipients = frozenset(form for address in recipients for form in spellings(address))
        self._listeners: list[asyncio.Server] = []
        self._sessions: set[SmtpConnection] = set()
        self._proxies = Proxies(config.proxies)
        self._ended: Counter[tuple[Source, str]] = Counter()  # by us, and not logged yet
        self._logged_at: dict[tuple[Source, str], float] = {}
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

    def comes_from_proxy(self, peer: str, source: Source) -> bool:
        """Whether a connection begins with a header that says for whom it comes; LMTP comes from our mail server."""
        return source is Source.SMTP and peer in self._proxies

    def begin(self, session: SmtpConnection) -> None:
        """A connection was opened."""
        self._sessions.add(session)
        self._deserted.clear()

    def end(self, session: SmtpConnection) -> None:
        """A connection ended."""
        self._sessions.discard(session)
        if not self._sessions:
            self._deserted.set()

    def log_end(self, peer: str, source: Source, reason: str, *, detail: str = "") -> None:
        """Log that we ended a connection: the first for a reason, then now and then, lest anybody fill the disk."""
        kind, now = (source, reason), asyncio.get_running_loop().time()
        self._ended[kind] += 1
        if now - self._logged_at.get(kind, -math.inf) >= _LOG_AGAIN_SECONDS:
            count = self._ended.pop(kind)
            more = {"detail": detail} if detail else {}
            _log.info(
                "connection ended", peer=peer, protocol=source.value, reason=reason, since_last_logged=count, **more
            )
            self._logged_at[kind] = now

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
