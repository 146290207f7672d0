"""One MX server as senders meet it: port 25, STARTTLS, certificate.

A probe greets, encrypts and leaves; it never sends mail.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mailposture.checks.certificates import KeyKind, chain_of, expiry_of, kind_of_key, names_of, refusal, restrict
from mailposture.checks.reason import Reason
from mailposture.domain_names import matches
from mailposture.quoting import quoted

if TYPE_CHECKING:
    from datetime import datetime

    from mailposture.checks.vantage import Vantage

_LONGEST_LINE = 4096  # bytes; RFC 5321 allows 512 in a reply
_MOST_LINES = 100  # of one reply
_OVERWRITTEN = re.compile(r"\s*X{7}[XA]\s*")  # STARTTLS, after a middlebox that inspects SMTP (Cisco's: XXXXXXXA)
_PATIENCE_AT_THE_END = 1.0  # seconds for QUIT and for closing: nothing is learnt there any more


@dataclass(frozen=True, kw_only=True)
class MxProbe:
    """What one server (an MX host at one address) showed. `reason` is None when a sender would be content."""

    host: str
    address: str
    reason: Reason | None = None
    detail: str = ""
    connected: bool = False
    starttls_offered: bool = False
    encrypted: bool = False
    chain_valid: bool = False
    name_valid: bool = False
    tls_version: str = ""
    not_after: datetime | None = None
    names: tuple[str, ...] = ()
    chain: tuple[bytes, ...] = field(default=(), repr=False)  # DER, the server's own first
    other_chain: tuple[bytes, ...] = field(
        default=(), repr=False
    )  # of a second certificate, with a key of another kind
    seconds: float = 0.0

    @property
    def chains(self) -> tuple[tuple[bytes, ...], ...]:
        """Of each certificate that it shows."""
        return tuple(filter(None, (self.chain, self.other_chain)))

    @property
    def success(self) -> bool:
        """Whether a sender that enforces MTA-STS would deliver here (RFC 8461, section 4.2)."""
        return self.reason is None


async def probe_mx(host: str, address: str, *, vantage: Vantage) -> MxProbe:
    """Look at one server within the vantage's timeout; whatever happens is a result, never an exception."""
    started = time.monotonic()
    probe = await _look(host, address, vantage)
    if probe.chain and (kind := kind_of_key(probe.chain[0])) is not None:
        probe = _with_other(probe, await _look(host, address, vantage, only=kind.other), kind.other)
    return replace(probe, seconds=time.monotonic() - started)


def _with_other(probe: MxProbe, other: MxProbe, kind: KeyKind) -> MxProbe:
    """A server and what it shows to clients that take a key of another kind, if it has a certificate for them."""
    if not other.chain or other.chain[0] == probe.chain[0]:
        return probe
    expiries = [one.not_after for one in (probe, other) if one.not_after is not None]
    probe = replace(probe, other_chain=other.chain, not_after=min(expiries, default=None))
    if probe.reason is not None or other.reason is None:
        return probe
    return replace(
        probe,
        reason=other.reason,
        detail=f"to clients that take {kind} keys only: {other.detail}",
        chain_valid=other.chain_valid,
        name_valid=other.name_valid,
        names=other.names,
    )


async def _look(host: str, address: str, vantage: Vantage, *, only: KeyKind | None = None) -> MxProbe:
    """One look; `only`: as a client that takes certificates with such a key alone."""
    probe = await _attempt(MxProbe(host=host, address=address), vantage, vantage.trusting_context(only=only))
    if probe.reason is not None and probe.reason.refuses_certificate:
        # OpenSSL stops at what it refuses; a second look without trust shows which certificate that was.
        seen = await _attempt(MxProbe(host=host, address=address), vantage, _indifferent_context(only))
        probe = replace(
            probe,
            encrypted=seen.encrypted,
            tls_version=seen.tls_version,
            not_after=seen.not_after,
            names=seen.names,
            chain=seen.chain,
            # The name is checked last: whoever fails by the name has a chain that is trusted.
            chain_valid=probe.reason is Reason.CERTIFICATE_HOST_MISMATCH,
            name_valid=any(matches(host, name) for name in seen.names),
        )
    return probe


async def _attempt(probe: MxProbe, vantage: Vantage, context: ssl.SSLContext) -> MxProbe:
    session = _Session(probe)
    try:
        async with asyncio.timeout(vantage.timeout):
            await session.run(vantage, context)
    except TimeoutError:
        stage = "after it connected" if session.probe.connected else "to connect"
        session.fail(Reason.TIMEOUT, f"no answer within {vantage.timeout:g} s {stage}")
    except ConnectionRefusedError:
        session.fail(Reason.REFUSED, "the connection is refused")
    except OSError as error:
        if session.probe.connected:
            session.fail(Reason.SMTP_ERROR, str(error))
        else:
            # What asyncio says is only that the call failed.
            session.fail(Reason.UNREACHABLE, os.strerror(error.errno) if error.errno else str(error))
    except (EOFError, ValueError) as error:
        session.fail(Reason.SMTP_ERROR, str(error))
    finally:
        await session.close()
    return session.probe


class _Session:
    """One SMTP connection, up to encryption (RFC 3207)."""

    def __init__(self, probe: MxProbe) -> None:
        self.probe = probe
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def fail(self, reason: Reason, detail: str) -> None:
        self.probe = replace(self.probe, reason=reason, detail=detail)

    async def run(self, vantage: Vantage, context: ssl.SSLContext) -> None:
        self._streams = await asyncio.open_connection(self.probe.address, vantage.smtp_port, limit=_LONGEST_LINE)
        self.probe = replace(self.probe, connected=True)
        code, lines = await self._reply()
        if code != 220:
            self.fail(Reason.GREETING_REFUSED, f"greets with {quoted(f'{code} {lines[-1]}')}")
            return
        code, lines = await self._command(f"EHLO {vantage.hostname}")
        if code != 250:
            self.fail(Reason.SMTP_ERROR, f"answers EHLO with {quoted(f'{code} {lines[-1]}')}")
            return
        if not any(line.strip().upper() == "STARTTLS" for line in lines[1:]):
            overwritten = any(map(_OVERWRITTEN.fullmatch, lines[1:]))
            how = "; something in the path writes X over what it offers, as firewalls do" if overwritten else ""
            self.fail(Reason.STARTTLS_NOT_OFFERED, f"does not offer STARTTLS{how}")
            await self._quit()
            return
        self.probe = replace(self.probe, starttls_offered=True)
        code, lines = await self._command("STARTTLS")
        if code != 220:
            self.fail(Reason.STARTTLS_REFUSED, f"answers STARTTLS with {quoted(f'{code} {lines[-1]}')}")
            return
        await self._encrypt(context)

    async def _encrypt(self, context: ssl.SSLContext) -> None:
        assert self._streams is not None  # noqa: S101  run() has connected
        writer = self._streams[1]
        try:
            await writer.start_tls(context, server_hostname=self.probe.host)
        except ssl.SSLCertVerificationError as error:
            self.fail(refusal(error), f"the certificate is refused: {error.verify_message}")
            return
        except (ssl.SSLError, ConnectionError) as error:
            self.fail(Reason.TLS_FAILED, f"the TLS handshake fails: {error or 'the server hangs up'}")
            return
        connection = writer.get_extra_info("ssl_object")
        chain = chain_of(connection)
        verified = context.verify_mode is ssl.CERT_REQUIRED
        self.probe = replace(
            self.probe,
            encrypted=True,
            chain_valid=verified,
            name_valid=verified,
            tls_version=connection.version() or "",
            not_after=expiry_of(chain[0]) if chain else None,
            names=names_of(chain[0]) if chain else (),
            chain=chain,
        )
        await self._quit()

    async def _command(self, line: str) -> tuple[int, list[str]]:
        assert self._streams is not None  # noqa: S101
        self._streams[1].write(f"{line}\r\n".encode("ascii"))
        await self._streams[1].drain()
        return await self._reply()

    async def _reply(self) -> tuple[int, list[str]]:
        """Code and texts of a reply of one or several lines (RFC 5321, section 4.2); ValueError if it is none."""
        assert self._streams is not None  # noqa: S101
        texts: list[str] = []
        while len(texts) < _MOST_LINES:
            try:
                raw = await self._streams[0].readuntil(b"\n")
            except asyncio.LimitOverrunError:
                raise ValueError(f"sends a line of more than {_LONGEST_LINE} bytes") from None
            except asyncio.IncompleteReadError:
                raise EOFError("hangs up without an answer") from None
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            if not (line[:3].isascii() and line[:3].isdecimal()) or line[3:4] not in {"", " ", "-"}:
                raise ValueError(f"does not speak SMTP: {quoted(line)}")
            texts.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), texts
        raise ValueError(f"sends a reply of more than {_MOST_LINES} lines")

    async def _quit(self) -> None:
        """Leave politely; what the server makes of it no longer matters."""
        with contextlib.suppress(OSError, EOFError, ValueError):
            async with asyncio.timeout(_PATIENCE_AT_THE_END):
                await self._command("QUIT")

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_PATIENCE_AT_THE_END):
                    await self._streams[1].wait_closed()


def _indifferent_context(only: KeyKind | None) -> ssl.SSLContext:
    """Takes whatever certificate there is: only to show it, never to trust it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if only is not None:
        restrict(context, only)
    return context
