"""A policy host on loopback that is right, or wrong in exactly one way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

GOOD_POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.test\r\nmax_age: 1209600\r\n"


@dataclass(kw_only=True)
class Answer:
    """What the server answers to every request."""

    body: bytes = GOOD_POLICY
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/plain"})
    hang: bool = False


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Serve an answer by HTTPS on a free loopback port."""

    async def respond(request: web.BaseRequest) -> web.Response:
        if answer.hang:
            await asyncio.sleep(3600)
        if answer.status in {301, 302} and request.path == "/elsewhere":
            return web.Response(body=GOOD_POLICY, content_type="text/plain")
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)

    runner = web.ServerRunner(web.Server(respond), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def tunnel_to(port: int) -> AsyncIterator[int]:
    """An HTTPS proxy that leads every host to one loopback port, for clients that insist on port 443."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pipe(reader, inner_writer), pipe(inner_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
