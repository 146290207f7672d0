"""What the sessions of all SMTP and LMTP listeners share: limits, room, and who is there."""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import structlog

from collector.sources.certificate import Certificate
from collector.sources.smtp.syntax import comparable, spellings
from mailposture.net.admission import Admission
from mailposture.net.proxies import Proxies
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.sources.memory import BodyMemory
    from collector.spool import Spool
    from mailposture.config.model import Smtp

_LOG_AGAIN_SECONDS = 10.0
_log = structlog.get_logger()


class Session(Protocol):
    """A connection, as far as its server ends it."""

    def leave_when_idle(self) -> None: ...

    def abort(self) -> None: ...


class Shared:
    """Limits, admission, the spool and the sessions that are under way."""

    def __init__(self, config: Smtp, *, recipients: Iterable[str], spool: Spool, memory: BodyMemory) -> None:
        self.limits = config.limits
        self.admission = Admission(
            most=config.limits.connections,
            most_of_client=config.limits.connections_per_client,
            most_a_minute=config.limits.connections_per_minute,
        )
        self.hostname = config.hostname or socket.gethostname()
        self.spool = spool
        self.certificate = Certificate(config.tls) if config.tls else None
        self.memory = memory
        self.closing = False
        self.take_for(recipients)
        self.sessions: set[Session] = set()
        self._proxies = Proxies(config.proxies)
        self._ended: Counter[tuple[Source, str]] = Counter()  # by us, and not logged yet
        self._logged_at: dict[tuple[Source, str], float] = {}
        self.deserted = asyncio.Event()  # no session is left
        self.deserted.set()

    def take_for(self, recipients: Iterable[str]) -> None:
        """From now on accept mail for these addresses."""
        self._recipients = frozenset(form for address in recipients for form in spellings(address))
        domains = {form.rpartition("@")[2] for form in self._recipients} | {self.hostname.lower()}
        self._postmasters = frozenset({"postmaster", *(f"postmaster@{domain}" for domain in domains)})

    def accepts(self, address: str) -> bool:
        """Whether mail to an address is taken: where reports are expected, and the postmaster's (RFC 5321, 4.5.1).

        Sub-addresses (`tlsrpt+x@`) only if they are configured.
        """
        form = comparable(address)
        return form in self._recipients or form in self._postmasters

    def comes_from_proxy(self, peer: str, source: Source) -> bool:
        """Whether a connection begins with a header that says for whom it comes; LMTP comes from our mail server."""
        return source is Source.SMTP and peer in self._proxies

    def begin(self, session: Session) -> None:
        """A connection was opened."""
        self.sessions.add(session)
        self.deserted.clear()

    def end(self, session: Session) -> None:
        """A connection ended."""
        self.sessions.discard(session)
        if not self.sessions:
            self.deserted.set()

    def log_end(self, peer: str, source: Source, reason: str, *, detail: str = "") -> None:
        """Log that we ended a connection: the first for a reason, then at intervals: no client can fill the disk."""
        kind, now = (source, reason), asyncio.get_running_loop().time()
        self._ended[kind] += 1
        if now - self._logged_at.get(kind, -math.inf) >= _LOG_AGAIN_SECONDS:
            count = self._ended.pop(kind)
            more = {"detail": detail} if detail else {}
            _log.info(
                "connection ended", peer=peer, protocol=source.value, reason=reason, since_last_logged=count, **more
            )
            self._logged_at[kind] = now
