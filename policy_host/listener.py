"""An HTTP listener that strangers cannot fill: connections are counted from the moment they are accepted.

A sender needs one request of a few hundred bytes. Who connects and says nothing, drips, never ends the TLS handshake,
or comes a thousand times, takes a bounded share and for a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mailposture.net.listening import Gate, one_at_a_time

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine

    from mailposture.config.model import Listen

    Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Senders wait a minute at most (RFC 8461, section 3.3): who is still connected after that is cut off. Caddy in front
# opens a new connection then.
LONGEST_CONNECTION = 60.0
HANDSHAKE_TIMEOUT = 10.0
MOST_CONNECTIONS = 1000  # at the same time, each some 50 KB with TLS; who comes after them is hung up on
MOST_OF_CLIENT = 100  # of those; a large sender asks for the policies of many domains at once


class Listener:
    """One address, with TLS if there is a context; without, all connections come from a proxy or a scraper of ours."""

    def __init__(self, *, answer: Answer, context: ssl.SSLContext | None) -> None:
        self._server = _HttpServer(answer)
        self._context = context
        self._gate = Gate(admit=self._admit)
        self._clients: list[str] = []  # of every connection

    async def listen(self, address: Listen, *, key: str) -> None:
        """Begin; raises ProblemError if the address cannot be had."""
        await self._gate.open(address, key=key)

    async def close(self) -> None:
        """Stop; answers that are under way take milliseconds and are not waited for."""
        await self._gate.close()

    def _admit(self, connection: socket.socket, client: str) -> Coroutine[None, None, None] | None:
        if len(self._clients) >= MOST_CONNECTIONS:
            return None
        if self._context is not None and self._clients.count(client) >= MOST_OF_CLIENT:
            return None
        self._clients.append(client)
        return self._receive(connection, client)

    async def _receive(self, connection: socket.socket, client: str) -> None:
        """Serve one connection to its end, or to the end of our patience."""
        loop = asyncio.get_running_loop()
        handler = one_at_a_time(self._server())
        try:
            async with asyncio.timeout(LONGEST_CONNECTION):
                await loop.connect_accepted_socket(
                    lambda: handler,
                    connection,
                    ssl=self._context,
                    ssl_handshake_timeout=HANDSHAKE_TIMEOUT if self._context else None,
                )
                await self._server.end_of(handler)
        except OSError:  # of the handshake: not TLS, none that we speak, or hung up; a TimeoutError is one, too
            connection.close()
        finally:
            self._clients.remove(client)
            if handler.transport is not None:
                handler.transport.abort()  # to close it in form would wait for the client once more


class _OurFaultsOnly(logging.Filter):
    """Requests that are no HTTP are answered with 400 and no trace, or strangers could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger("policy_host.http")
_log.addFilter(_OurFaultsOnly())


class _HttpServer(web.Server):
    """Knows when a connection ends."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer, access_log=None, logger=_log)
        self._ends: dict[web.RequestHandler, asyncio.Future[None]] = {}

    async def end_of(self, handler: web.RequestHandler) -> None:
        """Wait for the end of a connection."""
        if handler in self.connections:
            self._ends[handler] = asyncio.get_running_loop().create_future()
            await self._ends[handler]

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        end = self._ends.pop(handler, None)
        if end is not None and not end.done():
            end.set_result(None)
