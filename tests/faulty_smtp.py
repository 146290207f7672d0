"""An MX server on loopback that is right, or wrong in exactly one way."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator


class Fault(StrEnum):
    """What is wrong with the server; certificates go wrong by the context that it gets."""

    NONE = "none"
    SILENT = "silent"  # accepts and says nothing
    SILENT_AFTER_STARTTLS = "silent-after-starttls"
    NO_STARTTLS = "no-starttls"
    STARTTLS_REFUSED = "starttls-refused"
    STARTTLS_HANGS_UP = "starttls-hangs-up"
    TURNED_AWAY = "turned-away"
    NOT_SMTP = "not-smtp"
    ENDLESS_LINE = "endless-line"
    ENDLESS_REPLY = "endless-reply"
    HANGS_UP = "hangs-up"
    GREETS_IN_UTF_8 = "greets-in-utf-8"  # no fault to a sender: it reads the code only


_GREETINGS = {
    Fault.GREETS_IN_UTF_8: "220 mx.test ESMTP grüß Gott\r\n".encode(),
    Fault.TURNED_AWAY: b"554 5.7.1 \x1b[31mno\r\n",
    Fault.NOT_SMTP: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    Fault.ENDLESS_LINE: b"220 " + b"x" * 100_000,
    Fault.ENDLESS_REPLY: b"220-more\r\n" * 1000,
}


class SmtpServer:
    """Speaks as much SMTP as a probe needs, and remembers every command."""

    def __init__(self, context: ssl.SSLContext | None, fault: Fault) -> None:
        self.connections = 0
        self.commands: list[str] = []
        self._context = context
        self._fault = fault

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._fault is Fault.HANGS_UP:
            return
        if self._fault is Fault.SILENT:
            await reader.read()
        writer.write(_GREETINGS.get(self._fault, b"220 mx.test ESMTP\r\n"))
        while line := await reader.readline():
            command = line.decode().strip().upper()
            self.commands.append(command)
            if command.startswith("EHLO"):
                last = b"250 8BITMIME" if self._fault is Fault.NO_STARTTLS else b"250 STARTTLS"
                writer.write(b"250-mx.test\r\n250-SIZE 1000\r\n" + last + b"\r\n")
            elif command == "STARTTLS" and self._fault is Fault.STARTTLS_REFUSED:
                writer.write(b"454 4.7.0 TLS not available\r\n")
            elif command == "STARTTLS":
                await self._encrypt(reader, writer)
            elif command == "QUIT":
                writer.write(b"221 bye\r\n")
                return

    async def _encrypt(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 2.0.0 go ahead\r\n")
        await writer.drain()
        if self._fault is Fault.STARTTLS_HANGS_UP:
            raise ConnectionAbortedError
        if self._fault is Fault.SILENT_AFTER_STARTTLS:
            await reader.read()
        assert self._context is not None
        await writer.start_tls(self._context)


@asynccontextmanager
async def serving(
    context: ssl.SSLContext | None = None, fault: Fault = Fault.NONE, *, address: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[SmtpServer, int]]:
    """Run a server on loopback; yields it and its port."""
    server = SmtpServer(context, fault)
    listener = await asyncio.start_server(server.converse, address, port)
    try:
        yield server, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
