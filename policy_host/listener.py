"""An HTTP listener that strangers cannot fill: connections are counted from the moment they are accepted.

A sender needs one request of a few hundred bytes. Who connects and says nothing, drips, never ends the TLS handshake,
or comes a thousand times, takes a bounded share and for a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mailposture.client_networks import client_network
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from mailposture.config import Listen

    Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Senders wait a minute at most (RFC 8461, section 3.3): who is still connected after that is cut off. Caddy in front
# opens a new connection then.
LONGEST_CONNECTION = 60.0
HANDSHAKE_TIMEOUT = 10.0
MOST_CONNECTIONS = 1000  # at the same time, each some 50 KB with TLS; who comes after them is hung up on
MOST_OF_CLIENT = 100  # of those; a large sender asks for the policies of many domains at once
_BACKLOG = 1024
_ACCEPT_AGAIN = 0.1  # seconds after the system had no room for another connection


class Listener:
    """One address, with TLS if there is a context; without, all connections come from a proxy or a scraper of ours."""

    def __init__(self, *, answer: Answer, context: ssl.SSLContext | None) -> None:
        self._server = _HttpServer(answer)
        self._context = context
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._visits: dict[asyncio.Task[None], str] = {}  # each connection's client

    async def listen(self, address: Listen) -> None:
        """Begin; raises ProblemError if the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(
                address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, where in found:
                listening = socket.create_server(where[:2], family=family, backlog=_BACKLOG)
                self._sockets.append(listening)
                listening.setblocking(False)
        except OSError as error:
            raise ProblemError(f"cannot listen on {address}: {error.strerror}; is a policy host running?") from error
        self._accepting = [loop.create_task(self._accept(one)) for one in self._sockets]

    async def close(self) -> None:
        """Stop; answers that are under way take milliseconds and are not waited for."""
        tasks = [*self._accepting, *self._visits]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self._sockets:
            one.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError:  # no file descriptor is left, or the client has gone already
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            client = client_network(peer[0])
            if not self._has_room_for(client):
                connection.close()
                continue
            visit = loop.create_task(self._receive(connection))
            self._visits[visit] = client
            visit.add_done_callback(self._visits.pop)

    def _has_room_for(self, client: str) -> bool:
        if len(self._visits) >= MOST_CONNECTIONS:
            return False
        return self._context is None or sum(one == client for one in self._visits.values()) < MOST_OF_CLIENT

    async def _receive(self, connection: socket.socket) -> None:
        """Serve one connection to its end, or to the end of our patience."""
        loop = asyncio.get_running_loop()
        handler = self._server()
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
