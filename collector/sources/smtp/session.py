"""One SMTP or LMTP session (RFC 5321, RFC 2033): the commands, and the way of a message into the spool."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from collector.metrics import RECEIVED, REFUSED
from collector.sources.smtp.connection import LeaveError, RefusedError, SmtpConnection
from collector.sources.smtp.syntax import parse_path
from collector.spool import SpoolError, SpoolFullError
from mailposture.net.client_networks import client_network
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collector.sources.memory import Share

_END_OF_DATA = b"\r\n.\r\n"
_EXTENSIONS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
_MAIL_PARAMETERS = frozenset({"SIZE", "BODY", "SMTPUTF8"})
_COMMON_COMMANDS = ("MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT", "STARTTLS")
_COMMANDS = {
    source: [f"smtp_{name}" for name in (*greetings, *_COMMON_COMMANDS)]
    for source, greetings in ((Source.SMTP, ("HELO", "EHLO")), (Source.LMTP, ("LHLO",)))
}
_OK = "250 2.0.0 OK"
_NO_MEMORY = "452 4.3.1 Insufficient memory for large messages, try again later"

_log = structlog.get_logger()


class SmtpSession(SmtpConnection):
    """Speaks SMTP or LMTP, as its listener does. Method names are aiosmtpd's."""

    def __dir__(self) -> list[str]:
        """aiosmtpd finds its commands by dir(), for each connection: offer those we speak instead of 150 names."""
        return _COMMANDS[self._source]

    # ── commands ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        if not hostname:
            raise RefusedError("501 5.5.4 Syntax: HELO hostname")
        self._set_post_data_state()
        self._greeted = True
        self._reply(f"250 {self.hostname}")

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if not hostname:
            raise RefusedError("501 5.5.4 Syntax: EHLO hostname")
        self._set_post_data_state()
        self._greeted = True
        extensions = [*_EXTENSIONS, f"SIZE {self._shared.limits.message_size}"]
        if self._shared.certificate is not None and not self._encrypted:
            extensions.append("STARTTLS")
        lines = [self.hostname, *extensions]
        self._reply("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    async def smtp_LHLO(self, hostname: str) -> None:  # noqa: N802
        await self.smtp_EHLO(hostname)

    async def smtp_STARTTLS(self, argument: str) -> None:  # noqa: N802
        if argument:
            raise RefusedError("501 5.5.4 Syntax: STARTTLS")
        if self._shared.certificate is None or self._encrypted:
            raise RefusedError("503 5.5.1 TLS is not available now")
        if self._input or self._reader._buffer:  # type: ignore[attr-defined]  # noqa: SLF001  no public way to look
            # Commands sent before the handshake would be obeyed after it, as if they had been protected:
            # CVE-2011-0411.
            raise LeaveError("554 5.5.0 No data may follow STARTTLS before the handshake", "plaintext-injection")
        self._reply("220 2.0.0 Ready to start TLS")
        await self._encrypt(self._shared.certificate.context)

    async def smtp_MAIL(self, argument: str | None) -> None:  # noqa: N802
        if not self._greeted:
            raise RefusedError("503 5.5.1 Send HELO/EHLO first")
        if self._mail_from is not None:
            raise RefusedError("503 5.5.1 Nested MAIL command")
        path = parse_path("FROM", argument or "")
        if path is None:
            raise RefusedError("501 5.1.7 Syntax: MAIL FROM:<address> [parameters]")
        if not path.parameters.keys() <= _MAIL_PARAMETERS:
            raise RefusedError("555 5.5.4 MAIL parameter not supported")
        if path.parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME"):
            raise RefusedError("501 5.5.4 BODY must be 7BIT or 8BITMIME")
        size = path.parameters.get("SIZE", "0")
        if not (size.isascii() and size.isdigit() and len(size) <= 20):
            raise RefusedError("501 5.5.4 SIZE must be a number of bytes")
        if int(size) > self._shared.limits.message_size:
            REFUSED.labels(self._source.value, "too-large").inc()
            raise RefusedError("552 5.3.4 Message size exceeds the limit")
        self._non_ascii = "SMTPUTF8" in path.parameters
        if not (self._non_ascii or path.address.isascii()):
            raise RefusedError("553 5.6.7 Non-ASCII address requires SMTPUTF8")
        try:
            self._shared.spool.check_room()
        except SpoolError as error:
            raise RefusedError(self._not_stored(error)) from error
        self._declared = int(size)
        self._mail_from = path.address
        self._reply("250 2.1.0 OK")

    async def smtp_RCPT(self, argument: str | None) -> None:  # noqa: N802
        if self._mail_from is None:
            raise RefusedError("503 5.5.1 Send MAIL first")
        path = parse_path("TO", argument or "")
        if path is None or not path.address:
            raise RefusedError("501 5.1.3 Syntax: RCPT TO:<address>")
        if path.parameters:
            raise RefusedError("555 5.5.4 RCPT parameter not supported")
        if not (self._non_ascii or path.address.isascii()):
            raise RefusedError("553 5.6.7 Non-ASCII address requires SMTPUTF8")
        if not self._shared.accepts(path.address):
            REFUSED.labels(self._source.value, "unknown-recipient").inc()
            raise RefusedError("550 5.1.1 Recipient rejected: no reports are accepted at this address")
        if len(self._recipients) >= self._shared.limits.recipients:
            raise RefusedError("452 4.5.3 Too many recipients")
        self._recipients.append(path.address)
        self._reply("250 2.1.5 OK")

    async def smtp_DATA(self, argument: str) -> None:  # noqa: N802
        if argument:
            raise RefusedError("501 5.5.4 Syntax: DATA")
        if not self._recipients:
            raise RefusedError("503 5.5.1 No valid recipients")
        if self._input:
            # The client did not wait for the 354: it is out of step, or made to be (RFC 2920, section 3.1).
            raise LeaveError("554 5.5.0 Message data sent before the reply to DATA", "out-of-step")
        mail_from, recipients = self._mail_from or "", tuple(self._recipients)
        with self._shared.memory.share(client_network(self.peer), end=self._end_for_room) as share:
            if not await share.announce(self._declared):
                REFUSED.labels(self._source.value, "memory").inc()
                self._set_post_data_state()
                raise RefusedError(_NO_MEMORY)
            self._reply("354 End data with <CR><LF>.<CR><LF>")
            reply = await self._receive(mail_from, recipients, share)
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
        self._reply("252 2.5.2 Cannot verify the address, but will attempt delivery")

    async def smtp_QUIT(self, argument: str) -> None:  # noqa: N802
        raise LeaveError("221 2.0.0 Bye", "")

    def _end_for_room(self) -> None:
        """The message that is being sent arrives too slowly while others wait; called from any thread."""
        REFUSED.labels(self._source.value, "memory").inc()
        self.loop.call_soon_threadsafe(
            self._last_words, "421 4.3.1 Transfer too slow while memory is short, try again later"
        )

    # ── message ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _receive(self, mail_from: str, recipients: tuple[str, ...], share: Share) -> str:
        """Read a message, make it durable, and return the reply."""
        try:
            message, refusal = await self._read_message(share)
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
            await share.until(self._shared.spool.put_async(envelope, message))
        except SpoolError as error:
            return self._not_stored(error)
        finally:
            self._busy = False
        self._errors = 0
        self._last_heard = self.loop.time()
        RECEIVED.labels(self._source.value).inc()
        _log.debug("mail received", peer=self.peer, name=name, bytes=len(message))
        return f"250 2.0.0 OK: queued as {name}"

    def _not_stored(self, error: SpoolError) -> str:
        if isinstance(error, SpoolFullError):
            REFUSED.labels(self._source.value, "spool-full").inc()
            return "452 4.3.1 Insufficient disk space, try again later"
        REFUSED.labels(self._source.value, "spool-trouble").inc()
        _log.error("mail not stored", peer=self.peer, reason=str(error))
        return "451 4.3.0 Message could not be stored, try again later"

    async def _read_message(self, share: Share) -> tuple[bytearray, str]:
        """The message as its sender signed it: dots unstuffed (RFC 5321, section 4.5.2), nothing else touched.

        Only CR LF . CR LF ends it. Whoever takes a bare LF for the end of a line there lets one sender forge another's
        mail (CVE-2023-51764). Returns the refusal instead when it is too large; it is read to its end all the same.
        """
        message = bytearray(b"\r\n")  # so that a dot that begins the message is a dot after a line end like any other
        refusal = ""
        searched = 0
        while (end := message.find(_END_OF_DATA, searched)) < 0:
            searched = max(0, len(message) - len(_END_OF_DATA) + 1)
            refusal = refusal or await self._overrun(searched - 2, share)
            if refusal:
                share.settle(0)
                del message[:searched]
                searched = 0
            await self._hear(message)
        self._input += message[end + len(_END_OF_DATA) :]
        refusal = refusal or await self._overrun(end, share)  # without the line end in front, its length is `end`
        if refusal:
            return bytearray(), refusal
        share.settle(end)
        del message[end + 2 :]
        if b"\r\n." in message:
            message = message.replace(b"\r\n.", b"\r\n")
        del message[:2]
        return message, ""

    async def _overrun(self, size: int, share: Share) -> str:
        """Why a message of that size cannot be taken, if so; otherwise it has its room in memory now."""
        most = self._shared.limits.message_size
        if size > most:
            return "552 5.3.4 Message size exceeds the limit"
        return "" if await share.grow(size, expected=most) else _NO_MEMORY
