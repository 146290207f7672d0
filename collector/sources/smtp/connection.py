"""One SMTP or LMTP connection: lines in, replies out, limits and timeouts.

aiosmtpd gives the protocol plumbing and its command table. What it does at a cost per command and per connection
(addresses read by the e-mail library, sign-in mechanisms found by introspection, a message read line by line, a timer
set again for each command) is replaced here, and so is what it does more leniently than Postfix does today.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from typing import TYPE_CHECKING

import structlog
from aiosmtpd.smtp import SMTP

from collector.metrics import CONNECTIONS, REFUSED
from collector.sources.smtp.proxy_header import NoClientError, announced_client
from mailposture.net.admission import Place, Refusal
from mailposture.net.proxies import plain_address
from reports.envelope import Source

if TYPE_CHECKING:
    from collector.sources.smtp.shared import Shared

_COMMAND_LENGTH = 2048  # as Postfix; RFC 5321 asks for 512, extensions and long addresses for more
_OVERLONG_LENGTH = 64 * 1024  # a line longer than this is no mistake
_READ = 64 * 1024
_FLUSH_SECONDS = 2.0  # how long a client may take to read our last words
_log = structlog.get_logger()
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd reports every step there


class LeaveError(Exception):
    """The connection is to end now, with these last words."""

    def __init__(self, reply: str, reason: str) -> None:
        super().__init__(reply)
        self.reply = reply
        self.reason = reason


class RefusedError(Exception):
    """A command is refused, for this reason; the connection stays open."""


class GoneError(Exception):
    """The client closed its side."""


class _NoHandler:
    """aiosmtpd looks for hooks in its handler; there are none."""

    def __dir__(self) -> list[str]:
        return []


class SmtpConnection(SMTP):
    """Reads commands from a buffer of its own: pipelined ones cost no extra wake-up, their answers go out together."""

    line_length_limit = _READ  # aiosmtpd's name for the stream's flow control; lines are bounded here

    def __init__(self, shared: Shared, *, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self._shared = shared
        self._source = source
        super().__init__(_NoHandler(), enable_SMTPUTF8=True, hostname=shared.hostname, loop=loop)
        self.peer = ""
        self._proxied = False
        self._place: Place | Refusal = Refusal.FULL  # until it is connected
        self._name = secrets.token_hex(4)  # with a number behind it, what senders log and what `name` says
        self._greeted = False
        self._encrypted = False
        self._busy = False  # in a handshake, or storing: not to be interrupted by a timer
        self._leaving = False
        self._mails = self._commands = self._errors = 0
        self._input = bytearray()
        self._output: list[str] = []
        self._started = self._last_heard = loop.time()

    # ── connection ──────────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peername = transport.get_extra_info("peername") or ("",)
        self.peer = plain_address(peername[0]) or ""
        self._proxied = self._shared.comes_from_proxy(self.peer, self._source)
        self._shared.begin(self)
        self._place = self._shared.admission.enter(None if self._proxied else self.peer)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if isinstance(self._place, Place):
            self._place.leave()
        self._shared.end(self)

    def eof_received(self) -> bool | None:
        """A client may close its side after its last command, and still wants the answers."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def leave_when_idle(self) -> None:
        """Say goodbye now, or after the mail that is being transferred."""
        self._leaving = True
        if self._mail_from is None and not self._busy:
            self._last_words("421 4.3.2 Service is shutting down, try again later")

    def abort(self) -> None:
        """End without further words."""
        self._writer.transport.abort()

    def _last_words(self, reply: str) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(reply.encode() + b"\r\n")
            self._writer.close()
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._timeout_handle = self.loop.call_later(_FLUSH_SECONDS, self.abort)

    def _reset_timeout(self, duration: float | None = None) -> None:
        """One timer a connection that looks at the clock, instead of a new one for each command."""
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_later(self._shared.limits.idle.total_seconds(), self._timeout_cb)

    def _timeout_cb(self) -> None:
        limits = self._shared.limits
        due = min(self._last_heard + limits.idle.total_seconds(), self._started + limits.session.total_seconds())
        left = due - self.loop.time()
        if self._writer.transport.is_closing():
            self.abort()  # the client does not read our last words
        elif left > 0 or self._busy:
            self._timeout_handle = self.loop.call_later(max(left, 1.0), self._timeout_cb)
        else:
            REFUSED.labels(self._source.value, "timeout").inc()
            self._last_words("421 4.4.2 Timeout, closing connection")

    def _set_post_data_state(self) -> None:
        self._mail_from: str | None = None
        self._recipients: list[str] = []
        self._non_ascii = False
        self._declared = 0  # SIZE of MAIL FROM

    # ── conversation ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _handle_client(self) -> None:
        try:
            await self._welcome()
            while True:
                await self._obey(await self._next_command())
                if self._leaving and self._mail_from is None:
                    raise LeaveError("421 4.3.2 Service is shutting down, try again later", "shutting-down")
        except LeaveError as end:
            if end.reason:
                REFUSED.labels(self._source.value, end.reason).inc()
                self._shared.log_end(self.peer, self._source, end.reason)
            self._output.append(end.reply)
        except (GoneError, ConnectionError, TimeoutError, ssl.SSLError):
            pass
        except Exception:
            _log.exception("SMTP session failed", peer=self.peer)
            self._output.append("421 4.3.0 Internal error, try again later")
        self._write_replies()
        self._writer.close()

    async def _welcome(self) -> None:
        CONNECTIONS.labels(self._source.value).inc()
        if self._shared.closing:
            raise LeaveError("421 4.3.2 Service is shutting down, try again later", "shutting-down")
        refusal = await self._client() if isinstance(self._place, Place) else self._place
        if refusal is not None:
            raise LeaveError("421 4.7.0 Too many connections, try again later", refusal.value)
        self._output.append(f"220 {self.hostname} {'LMTP' if self._source is Source.LMTP else 'ESMTP'}")

    async def _client(self) -> Refusal | None:
        """Have the connection count for its client, once a proxy has said which; the reason to turn it away, if any."""
        if not self._proxied or not isinstance(self._place, Place):
            return None
        try:
            client = await announced_client(self._reader)
        except NoClientError as error:
            # What came is no SMTP of a client that waits for a reply.
            REFUSED.labels(self._source.value, "no-proxy-header").inc()
            self._shared.log_end(self.peer, self._source, "no-proxy-header", detail=str(error))
            raise GoneError from error
        if client is None:
            return None
        self.peer = client
        return self._place.belong_to(client)

    async def _obey(self, line: bytes) -> None:
        self._commands += 1
        if self._commands > self._shared.limits.commands:
            raise LeaveError("421 4.7.0 Too many commands in one connection, open a new one", "too-many-commands")
        verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        method = self._smtp_methods.get(verb.upper())
        try:
            if method is None:
                raise RefusedError("500 5.5.2 Command not recognized")
            await method(argument.strip(" \t"))
        except RefusedError as refusal:
            self._refuse(str(refusal))

    def _reply(self, reply: str) -> None:
        self._output.append(reply)

    def _refuse(self, reply: str) -> None:
        self._output.append(reply)
        self._errors += reply.startswith("5")
        if self._errors >= self._shared.limits.errors:
            raise LeaveError("421 4.7.0 Too many errors", "too-many-errors")

    async def _next_command(self) -> bytes:
        """The next line, without its end. A bare LF ends a command, as Postfix has it; it never ends a message."""
        while (end := self._input.find(b"\n")) < 0:
            if len(self._input) > _OVERLONG_LENGTH:
                raise LeaveError("421 4.7.0 Line too long", "line-too-long")
            await self._hear(self._input)
        line = bytes(self._input[:end])
        del self._input[: end + 1]
        if len(line) <= _COMMAND_LENGTH:
            return line.removesuffix(b"\r")
        self._refuse("500 5.5.2 Line too long")
        return await self._next_command()

    async def _hear(self, buffer: bytearray) -> None:
        """Send what we have to say, then wait for more from the client."""
        self._write_replies()
        await self._writer.drain()
        heard = await self._reader.read(_READ)
        if not heard:
            raise GoneError
        self._last_heard = self.loop.time()
        buffer += heard

    def _write_replies(self) -> None:
        if self._output and not self._writer.transport.is_closing():
            self._writer.write(("\r\n".join(self._output) + "\r\n").encode())
        self._output.clear()

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        """Shake hands and go on encrypted, forgetting all that was said before (RFC 3207, section 4.2)."""
        self._write_replies()
        self._busy = True
        try:
            await self._writer.start_tls(context, ssl_handshake_timeout=self._shared.limits.idle.total_seconds())
        finally:
            self._busy = False
        self.transport = self._writer.transport
        self._encrypted = True
        self._greeted = False
        self._last_heard = self.loop.time()
        self._set_post_data_state()
