"""One SMTP or LMTP connection (RFC 5321, RFC 2033) that ends in the spool.

aiosmtpd gives the protocol plumbing and its command table. What it does at a cost per command and per connection
(addresses read by the e-mail library, sign-in mechanisms found by introspection, a message read line by line, a timer
set anew for each command) is replaced here, and so is what it does more leniently than Postfix does today.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from aiosmtpd.smtp import SMTP

from collector.envelope import Envelope, Source
from collector.metrics import CONNECTIONS, RECEIVED, REFUSED
from collector.sources.smtp_syntax import parse_path
from collector.spool import SpoolError, SpoolFullError

if TYPE_CHECKING:
    from collector.sources.smtp import SmtpServer

_COMMAND_LENGTH = 2048  # as Postfix; RFC 5321 asks for 512, extensions and long addresses for more
_OVERLONG_LENGTH = 64 * 1024  # a line longer than this is no mistake
_READ = 64 * 1024
_FLUSH_SECONDS = 2.0  # how long a client may take to read our last words
_END_OF_DATA = b"\r\n.\r\n"
_EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8"})
_COMMON_COMMANDS = ("MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT", "STARTTLS")
_COMMANDS = {
    source: [f"smtp_{name}" for name in (*greetings, *_COMMON_COMMANDS)]
    for source, greetings in ((Source.SMTP, ("HELO", "EHLO")), (Source.LMTP, ("LHLO",)))
}
_OK = "250 2.0.0 OK"

_log = structlog.get_logger()
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd reports every step there


class _LeaveError(Exception):
    """The connection is to end now, with these last words."""

    def __init__(self, reply: str, reason: str) -> None:
        super().__init__(reply)
        self.reply = reply
        self.reason = reason


class _RefusedError(Exception):
    """A command is not obeyed, for this reason; the connection goes on."""


class _GoneError(Exception):
    """The client closed its side."""


class _NoHandler:
    """aiosmtpd looks for hooks in its handler; there are none."""

    def __dir__(self) -> list[str]:
        return []


class SmtpSession(SMTP):
    """Reads commands from a buffer of its own: pipelined ones cost no extra wake-up, their answers go out together."""

    line_length_limit = _READ  # aiosmtpd's name for the stream's flow control; lines are bounded here

    def __init__(self, server: SmtpServer, *, source: Source, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._source = source
        super().__init__(_NoHandler(), enable_SMTPUTF8=True, hostname=server.hostname, loop=loop)
        self.peer = ""
        self._turned_away: str | None = None
        self._name = secrets.token_hex(4)  # with a number behind it, what senders log and what `name` says
        self._greeted = False
        self._encrypted = False
        self._busy = False  # in a handshake, or storing: not to be interrupted by a timer
        self._leaving = False
        self._mails = self._commands = self._errors = 0
        self._share = 0  # of the memory for large messages
        self._input = bytearray()
        self._output: list[str] = []
        self._started = self._last_heard = loop.time()

    def __dir__(self) -> list[str]:
        """aiosmtpd finds its commands by dir(), for each connection: offer those we speak instead of 150 names."""
        return _COMMANDS[self._source]

    # ── connection ──────────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peername = transport.get_extra_info("peername") or ("",)
        self.peer = peername[0].partition("%")[0].removeprefix("::ffff:")
        self._turned_away = self._server.admit(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._server.dismiss(self)

    def eof_received(self) -> bool | None:
        """A client may close its side after its last command, and still wants the answers."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def leave_when_idle(self) -> None:
        """Say goodbye now, or after the mail that is being transferred."""
        self._leaving = True
        if self._mail_from is None and not self._busy:
            self._last_words("421 4.3.2 Service is shutting down, come back later")

    def abort(self) -> None:
        """End without further words."""
        self._writer.transport.abort()

    def _last_words(self, reply: str) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(reply.encode() + b"\r\n")
            self._writer.close()
            self._timeout_handle = self.loop.call_later(_FLUSH_SECONDS, self.abort)

    def _reset_timeout(self, duration: float | None = None) -> None:
        """One timer a connection that looks at the clock, instead of a new one for each command."""
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_later(self._server.limits.idle.total_seconds(), self._timeout_cb)

    def _timeout_cb(self) -> None:
        limits = self._server.limits
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

    # ── conversation ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _handle_client(self) -> None:
        try:
            self._welcome()
            while True:
                await self._obey(await self._next_command())
                if self._leaving and self._mail_from is None:
                    raise _LeaveError("421 4.3.2 Service is shutting down, come back later", "shutting-down")
        except _LeaveError as end:
            if end.reason:
                REFUSED.labels(self._source.value, end.reason).inc()
                _log.info("connection ended", peer=self.peer, protocol=self._source.value, reason=end.reason)
            self._output.append(end.reply)
        except (_GoneError, ConnectionError, TimeoutError, ssl.SSLError):
            pass
        except Exception:
            _log.exception("SMTP session failed", peer=self.peer)
            self._output.append("421 4.3.0 Internal trouble, come back later")
        self._write_replies()
        self._writer.close()

    def _welcome(self) -> None:
        CONNECTIONS.labels(self._source.value).inc()
        if self._turned_away is not None:
            raise _LeaveError("421 4.7.0 Too many connections, come back later", self._turned_away)
        self._output.append(f"220 {self.hostname} {'LMTP' if self._source is Source.LMTP else 'ESMTP'}")

    async def _obey(self, line: bytes) -> None:
        self._commands += 1
        if self._commands > self._server.limits.commands:
            raise _LeaveError(
                "421 4.7.0 Too many commands in one connection, come back with a new one", "too-many-commands"
            )
        verb, _, argument = line.decode("utf-8", "surrogateescape").partition(" ")
        method = self._smtp_methods.get(verb.upper())
        try:
            if method is None:
                raise _RefusedError("500 5.5.2 Command not recognized")
            await method(argument.strip(" \t"))
        except _RefusedError as refusal:
            self._refuse(str(refusal))

    def _reply(self, reply: str) -> None:
        self._output.append(reply)

    def _refuse(self, reply: str) -> None:
        self._output.append(reply)
        self._errors += reply.startswith("5")
        if self._errors >= self._server.limits.errors:
            raise _LeaveError("421 4.7.0 Too many errors", "too-many-errors")

    async def _next_command(self) -> bytes:
        """The next line, without its end. A bare LF ends a command, as Postfix has it; it never ends a message."""
        while (end := self._input.find(b"\n")) < 0:
            if len(self._input) > _OVERLONG_LENGTH:
                raise _LeaveError("421 4.7.0 Line too long", "line-too-long")
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
            raise _GoneError
        self._last_heard = self.loop.time()
        buffer += heard

    def _write_replies(self) -> None:
        if self._output and not self._writer.transport.is_closing():
            self._writer.write(("\r\n".join(self._output) + "\r\n").encode())
        self._output.clear()

    # ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802  aiosmtpd's names, here and below
        if not hostname:
            raise _RefusedError("501 5.5.4 Syntax: HELO hostname")
        self._set_post_data_state()
        self._greeted = True
        self._reply(f"250 {self.hostname}")

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if not hostname:
            raise _RefusedError("501 5.5.4 Syntax: EHLO hostname")
        self._set_post_data_state()
        self._greeted = True
        extensions = [*_EXTENSIONS, f"SIZE {self._server.limits.message_size}"]
        if self._server.certificate is not None and not self._encrypted:
            extensions.append("STARTTLS")
        lines = [self.hostname, *extensions]
        self._reply("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    async def smtp_LHLO(self, hostname: str) -> None:  # noqa: N802
        await self.smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, argument: str) -> None:  # noqa: N802
        if argument:
            raise _RefusedError("501 5.5.4 Syntax: STARTTLS")
        if self._server.certificate is None or self._encrypted:
            raise _RefusedError("503 5.5.1 TLS is not available now")
        if self._input or self._reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001  no public way to look
            # Commands sent before the handshake would be obeyed after it, as if they had been protected:
            # CVE-2011-0411.
            raise _LeaveError("554 5.5.0 Nothing may follow STARTTLS before the handshake", "plaintext-injection")
        self._reply("220 2.0.0 Ready to start TLS")
        self._write_replies()
        self._busy = True
        try:
            await self._writer.start_tls(
                self._server.certificate.context, ssl_handshake_timeout=self._server.limits.idle.total_seconds()
            )
        finally:
            self._busy = False
        self.transport = self._writer.transport
        self._encrypted = True
        self._greeted = False  # the client starts over (RFC 3207, section 4.2)
        self._last_heard = self.loop.time()
        self._set_post_data_state()

    async def smtp_MAIL(self, argument: str | None) -> None:  # noqa: N802
        if not self._greeted:
            raise _RefusedError("503 5.5.1 Say hello first")
        if self._mail_from is not None:
            raise _RefusedError("503 5.5.1 Nested MAIL command")
        path = parse_path("FROM", argument or "")
        if path is None:
            raise _RefusedError("501 5.1.7 Syntax: MAIL FROM:<address> [parameters]")
        if not path.parameters.keys() <= _MAIL_PARAMETERS:
            raise _RefusedError("555 5.5.4 MAIL parameter not known")
        if path.parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
            raise _RefusedError("501 5.5.4 BODY is 7BIT or 8BITMIME")
        size = path.parameters.get("SIZE", "0")
        if not (size.isascii() and size.isdigit() and len(size) <= 20):
            raise _RefusedError("501 5.5.4 SIZE is a number of bytes")
        if int(size) > self._server.limits.message_size:
            REFUSED.labels(self._source.value, "too-large").inc()
            raise _RefusedError("552 5.3.4 Message is larger than this server accepts")
        self._non_ascii = "SMTPUTF8" in path.parameters
        if not (self._non_ascii or path.address.isascii()):
            raise _RefusedError("553 5.6.7 An address that is not ASCII needs SMTPUTF8")
        try:
            self._server.spool.check_room()
        except SpoolError as error:
            raise _RefusedError(self._not_stored(error)) from error
        self._mail_from = path.address
        self._reply("250 2.1.0 OK")

    async def smtp_RCPT(self, argument: str | None) -> None:  # noqa: N802
        if self._mail_from is None:
            raise _RefusedError("503 5.5.1 MAIL first")
        path = parse_path("TO", argument or "")
        if path is None or not path.address:
            raise _RefusedError("501 5.1.3 Syntax: RCPT TO:<address>")
        if path.parameters:
            raise _RefusedError("555 5.5.4 RCPT parameter not known")
        if not (self._non_ascii or path.address.isascii()):
            raise _RefusedError("553 5.6.7 An address that is not ASCII needs SMTPUTF8")
        if not self._server.accepts(path.address):
            REFUSED.labels(self._source.value, "unknown-recipient").inc()
            raise _RefusedError("550 5.1.1 No reports are received at that address")
        if len(self._recipients) >= self._server.limits.recipients:
            raise _RefusedError("452 4.5.3 Too many recipients")
        self._recipients.append(path.address)
        self._reply("250 2.1.5 OK")

    async def smtp_DATA(self, argument: str) -> None:  # noqa: N802
        if argument:
            raise _RefusedError("501 5.5.4 Syntax: DATA")
        if not self._recipients:
            raise _RefusedError("503 5.5.1 No valid recipients")
        if self._input:
            # The client did not wait for our word: it talks past us, or somebody makes it (RFC 2920, section 3.1).
            raise _LeaveError("554 5.5.0 Commands and message out of step", "out-of-step")
        self._reply("354 End data with <CR><LF>.<CR><LF>")
        mail_from, recipients = self._mail_from or "", tuple(self._recipients)
        reply = await self._receive(mail_from, recipients)
        self._set_post_data_state()
        # LMTP answers for each recipient (RFC 2033, section 4.2).
        for _ in recipients if self._source is Source.LMTP else (None,):
            self._reply(reply)

    async def smtp_RSET(self, argument: str) -> None:  # noqa: N802
        self._set_post_data_state()
        self._reply(_OK)

    async def smtp_NOOP(self, argument: str) -> None:  # noqa: N802
        self._reply(_OK)

    async def smtp_VRFY(self, argument: str) -> None:  # noqa: N802
        self._reply("252 2.5.2 Send a mail and see")

    async def smtp_QUIT(self, argument: str) -> None:  # noqa: N802
        raise _LeaveError("221 2.0.0 Bye", "")

    # ── message ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _receive(self, mail_from: str, recipients: tuple[str, ...]) -> str:
        """Read a message, make it durable, and return the reply."""
        try:
            message, refusal = await self._read_message()
            if refusal:
                REFUSED.labels(self._source.value, "too-large" if refusal.startswith("552") else "memory").inc()
                return refusal
            self._mails += 1
            name = f"{self._name}.{self._mails}"
            envelope = Envelope(
                source=self._source,
                received_at=datetime.now(UTC),
                name=name,
                peer=self.peer,
                mail_from=mail_from,
                recipients=recipients,
            )
            self._busy = True
            await self._server.spool.put_async(envelope, message)
        except SpoolError as error:
            return self._not_stored(error)
        finally:
            self._busy = False
            self._server.memory.release(self._share)
            self._share = 0
        self._errors = 0
        self._last_heard = self.loop.time()
        RECEIVED.labels(self._source.value).inc()
        _log.debug("mail received", peer=self.peer, name=name, bytes=len(message))
        return f"250 2.0.0 OK: queued as {name}"

    def _not_stored(self, error: SpoolError) -> str:
        if isinstance(error, SpoolFullError):
            REFUSED.labels(self._source.value, "spool-full").inc()
            return "452 4.3.1 No room on disk, try again later"
        REFUSED.labels(self._source.value, "spool-trouble").inc()
        _log.error("mail not stored", peer=self.peer, reason=str(error))
        return "451 4.3.0 Cannot store it now, try again later"

    async def _read_message(self) -> tuple[bytes, str]:
        """The message as its sender signed it: dots unstuffed (RFC 5321, section 4.5.2), nothing else touched.

        Only CR LF . CR LF ends it. Whoever takes a bare LF for the end of a line there lets one sender forge another's
        mail (CVE-2023-51764). Returns the refusal instead when it is too large; it is read to its end all the same.
        """
        message = bytearray(b"\r\n")  # so that a dot that begins the message is a dot after a line end like any other
        refusal = ""
        searched = 0
        while (end := message.find(_END_OF_DATA, searched)) < 0:
            searched = max(0, len(message) - len(_END_OF_DATA) + 1)
            refusal = refusal or self._overrun(searched - 2)
            if refusal:
                del message[:searched]
                searched = 0
            await self._hear(message)
        self._input += message[end + len(_END_OF_DATA) :]
        refusal = refusal or self._overrun(end)  # not counting the line end in front, `end` is the message's length
        if refusal:
            return b"", refusal
        del message[end + 2 :]
        content = message.replace(b"\r\n.", b"\r\n") if b"\r\n." in message else message
        return bytes(memoryview(content)[2:]), ""

    def _overrun(self, size: int) -> str:
        """Why a message of that size cannot be taken, if so; takes its share of memory otherwise."""
        if size > self._server.limits.message_size:
            return "552 5.3.4 Message is larger than this server accepts"
        share = self._server.memory.grow(self._share, size)
        if share is None:
            return "452 4.3.1 Too many large messages at once, try again later"
        self._share = share
        return ""
