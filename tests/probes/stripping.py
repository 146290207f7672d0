"""Somebody in the path between us and a mail server who takes STARTTLS out of what the server says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def stripping(port: int) -> AsyncIterator[int]:
    """Relay a free loopback port to a server, with STARTTLS overwritten as some middleboxes do."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, strip: bool) -> None:
        while line := await reader.readline():
            writer.write(line.replace(b"STARTTLS", b"XXXXXXXA") if strip else line)
            await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, server_writer, strip=False), pipe(server_reader, writer, strip=True))

    relay = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield relay.sockets[0].getsockname()[1]
    finally:
        relay.close()
