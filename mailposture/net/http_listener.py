"""An HTTP listener that no client can exhaust: connections are counted from the moment they are accepted.

A client needs one request. Who connects and says nothing, drips, never ends the TLS handshake, reads no answer, or
comes a thousand times, takes a bounded share and for a bounded time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mailposture.net.admission import Refusal
from mailposture.net.listening import Gate
from mailposture.net.proxies import plain_address

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine

    from mailposture.config.model import Listen
    from mailposture.net.admission import Admission, Place
    from mailposture.net.proxies import Proxies

    Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class HttpListener:
    """One address. `context` gives the TLS context of a handshake that begins now; None speaks plain HTTP."""

    def __init__(
        self,
        *,
        answer: Answer,
        admission: Admission,
        proxies: Proxies | None,
        context: Callable[[], ssl.SSLContext] | None,
        handshake: float,
        longest: float,
        counted: Callable[[Refusal | None], None] = lambda _: None,
        **settings: Any,
    ) -> None:
        """Take what bounds a connection: `handshake` and `longest` in seconds, of its TLS handshake and of all of it.

        A connection of one of the `proxies` counts for no client; None means that all come from proxies of ours.
        `counted` hears of each connection, with the reason if it is refused. `settings` are aiohttp's.
        """
        self._server = _HttpServer(answer, **settings)
        self._admission = admission
        self._proxies = proxies
        self._context = context
        self._handshake = handshake
        self._longest = longest
        self._counted = counted
        self._gate = Gate(admit=self._admit)

    async def open(self, address: Listen, *, key: str) -> tuple[str, int]:
        """Begin, and return the address; raises ProblemError, which names the key, if it cannot be had."""
        return await self._gate.open(address, key=key)

    async def close(self, *, grace: float = 0.0) -> None:
        """Stop accepting, let requests that run end within `grace` seconds, and close all connections."""
        await self._gate.shut()
        if grace:
            self._server.pre_shutdown()
            await self._server.shutdown(grace)
        await self._gate.close()

    def age(self, request: web.BaseRequest) -> float:
        """How long the connection of a request is open, in seconds."""
        return self._server.age(request.protocol)

    def _admit(self, connection: socket.socket, peer: str) -> Coroutine[None, None, None] | None:
        address = plain_address(peer) or peer
        proxied = self._proxies is None or address in self._proxies
        place = self._admission.enter(None if proxied else address)
        if isinstance(place, Refusal):
            self._counted(place)
            return None
        self._counted(None)
        return self._receive(connection, place)

    async def _receive(self, connection: socket.socket, place: Place) -> None:
        """Serve one connection to its end, or to the end of our patience."""
        handler = self._server.begin()
        context = self._context() if self._context else None
        try:
            async with asyncio.timeout(self._longest):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: handler,
                    connection,
                    ssl=context,
                    ssl_handshake_timeout=self._handshake if context else None,
                )
                await self._server.end_of(handler)
        except OSError:  # of the handshake: not TLS, none that we speak, or hung up; a TimeoutError is one, too
            connection.close()
        finally:
            place.leave()
            self._server.forget(handler)
            if handler.transport is not None:
                handler.transport.abort()  # to close it in form would wait for the client once more


class _HttpServer(web.Server):
    """Knows when a connection begins and ends."""

    def __init__(self, answer: Answer, **settings: Any) -> None:
        super().__init__(answer, access_log=None, **settings)
        self._began: dict[web.RequestHandler, float] = {}
        self._ends: dict[web.RequestHandler, asyncio.Future[None]] = {}

    def begin(self) -> web.RequestHandler:
        """The handler of a connection that was accepted.

        It reads on only when the request before is answered; aiohttp reads 32 ahead. Of what is no HTTP each piece of
        256 KB counts as a request with a fault, which quotes the piece: an endless header field took 25 MB.
        """
        handler: web.RequestHandler = self()
        handler._max_msg_queue_size = 1  # noqa: SLF001  no public way; a test holds the memory
        self._began[handler] = asyncio.get_running_loop().time()
        return handler

    def age(self, handler: web.RequestHandler) -> float:
        """Seconds since it began."""
        now = asyncio.get_running_loop().time()
        return now - self._began.get(handler, now)

    async def end_of(self, handler: web.RequestHandler) -> None:
        """Wait for the end of a connection."""
        if handler in self.connections:
            self._ends[handler] = asyncio.get_running_loop().create_future()
            await self._ends[handler]

    def forget(self, handler: web.RequestHandler) -> None:
        """It has ended, or is about to."""
        del self._began[handler]
        self._ends.pop(handler, None)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        end = self._ends.get(handler)
        if end is not None and not end.done():
            end.set_result(None)
