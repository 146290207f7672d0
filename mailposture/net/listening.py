"""Listening for clients that may come in any number: each is counted from the moment the connection is accepted.

Who connects and says nothing, never ends the TLS handshake, or comes a thousand times, would take memory long before a
server of HTTP knows of it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from mailposture.config.model import Listen

    # Counts a connection from an IP address, and returns the work of a task that serves and in the end closes it; None
    # if it is one too many.
    Admit = Callable[[socket.socket, str], Coroutine[None, None, None] | None]

_BACKLOG = 1024
_ACCEPT_AGAIN = 0.1  # seconds after the system had no room for another connection


class Gate:
    """One address, and who decides whether there is room for one more connection from there."""

    def __init__(self, *, admit: Admit) -> None:
        self._admit = admit
        self._sockets: list[socket.socket] = []
        self._accepting: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self, address: Listen, *, key: str) -> tuple[str, int]:
        """Begin, and return the address; raises ProblemError, which names the key, if it cannot be had."""
        loop = asyncio.get_running_loop()
        with listening_as(key, address):
            found = await loop.getaddrinfo(
                address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, where in dict.fromkeys((family, where[:2]) for family, _, _, _, where in found):
                listening = socket.create_server(where, family=family, backlog=_BACKLOG)
                self._sockets.append(listening)
                listening.setblocking(False)
        for one in self._sockets:
            _begin(self._accept(one), self._accepting)
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    async def shut(self) -> None:
        """Stop accepting."""
        await _end(self._accepting)
        for one in self._sockets:
            one.close()

    async def close(self) -> None:
        """Stop accepting, and end what serves."""
        await self.shut()
        await _end(self._serving)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError:  # no file descriptor is left, or the client has gone already
                await asyncio.sleep(_ACCEPT_AGAIN)
                continue
            visit = self._admit(connection, peer[0])
            if visit is None:
                connection.close()
            else:
                _begin(visit, self._serving)


def _begin(work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    ending = tuple(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


@contextmanager
def listening_as(key: str, address: Listen) -> Iterator[None]:
    """Say which address cannot be had, and what to do."""
    try:
        yield
    except OSError as error:
        # An event loop has words of its own for what the system says in three.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise ProblemError(
            f"cannot listen on {address} ({why}); end what listens there (another mailposture?), or choose another "
            f"address as {key} in the configuration"
        ) from error
