"""One loop reads every kind of mailbox: list, fetch, spool what holds a report, move it.

Mailboxes are shared with other mail. So a mail is read first, and only one that holds a report is stored, and then
moved; any other stays as it was, unseen, and is not downloaded again. A report moves only after the spool has it on
disk: killed in between, we find it again, and the same report counts once.

One refusal stops nothing. What cannot be read or moved is left where it is, logged once, and tried again
later; the rest goes on.
"""

from __future__ import annotations

import ssl
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from collector.documents.limits import LIMITS
from collector.documents.recognize import UNREAD, report_in
from collector.metrics import LEFT, RECEIVED
from collector.sources.mailbox.backoff import Backoff
from collector.sources.mailbox.fetching import Fetching
from collector.sources.mailbox.health import MailboxHealth
from collector.sources.mailbox.mailbox import Listed, LostError, RefusedError, Trouble
from collector.sources.mailbox.moving import Moves
from collector.spool import SpoolError
from reports.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from collector.sources.mailbox.mailbox import Fetched, Mailbox, Session
    from collector.sources.mailbox.remembered import Remembered
    from collector.sources.memory import BodyMemory
    from collector.spool import Spool

_log = structlog.get_logger()

_GROUP_BYTES: Final = 8 * 1024 * 1024  # in memory at once, unless one mail alone is larger
_SESSION_WAITS: Final = (1.0, 300.0)  # the first, and the longest
_A_DAY: Final = 86_400.0
_LOOKING: Final = threading.Lock()  # by one mailbox at a time: it takes twice the bytes of the mail again


class MailboxLoop:
    """Reads one mailbox in a thread of its own, until stop()."""

    def __init__(
        self,
        mailbox: Mailbox,
        *,
        spool: Spool,
        memory: BodyMemory,
        remembered: Remembered,
        limit: int = LIMITS.message_bytes,
        clock: Callable[[], float] = time.monotonic,
        waits: tuple[float, float] = _SESSION_WAITS,
    ) -> None:
        """`limit`: bytes; larger mails are left alone. `waits`: seconds between sessions that fail."""
        self._mailbox = mailbox
        self._spool = spool
        self._memory = memory
        self._remembered = remembered
        self._limit = limit
        self._log = _log.bind(mailbox=mailbox.name)
        self._fetching = Fetching(mailbox, remembered, limit=limit, log=self._log, clock=clock)
        self._moves = Moves(remembered, log=self._log, clock=clock)
        self._backoff = Backoff(*waits, clock=clock)
        self.health = MailboxHealth(mailbox.name, remembered)
        self._left = 0  # mails without a report, since the last log line about them
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=mailbox.name, daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what was begun. A server that does not answer is not waited for: everything can be done again."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._mailbox.open() as session:
                    self._log.info("reading a mailbox", read_only=session.read_only)
                    self._read(session)
            except SpoolError as error:  # which is no fault of the mailbox
                seconds = self._backoff.failed()
                self._log.warning("cannot store what is in a mailbox; trying again", reason=str(error), seconds=seconds)
            except (OSError, LostError, RefusedError) as error:
                seconds = self._backoff.failed(at_least=error.wait if isinstance(error, LostError) else 0.0)
                self.health.failed(trouble := trouble_of(error))
                self._log.warning(
                    "cannot read a mailbox; trying again", trouble=trouble.value, reason=str(error), seconds=seconds
                )
            except Exception:  # the thread must survive every answer of a server
                seconds = self._backoff.failed()
                self.health.failed(Trouble.LOST)
                self._log.exception("reading a mailbox failed; trying again", seconds=seconds)
            self._stopping.wait(self._backoff.left)

    def _read(self, session: Session) -> None:
        self._remembered.begin(session.epoch)
        while not self._stopping.is_set():
            self._moves.retry(session)
            for key in self._fetching.due(session):
                if not self._take(session, [Listed(key, None)], self._limit):
                    return
            for listed in session.mails(self._remembered.position):
                if self._stopping.is_set():  # pages without mails may go on for ever
                    return
                self.health.waiting = len(listed) + session.waiting
                for group, size in self._groups(listed):
                    if not self._take(session, group, size, read_to=group[-1].position):
                        return
            if session.end and session.end != self._remembered.position:
                self._remembered.position = session.end
                self._remembered.save()
            self._moves.move_new(session)
            self._say_what_was_left()
            self.health.waiting = 0
            self._progress()
            due = (self._moves.seconds_until_due(), self._fetching.seconds_until_due())
            session.wait(self._stopping, at_most=min((each for each in due if each is not None), default=_A_DAY))

    def _groups(self, listed: Sequence[Listed]) -> Iterator[tuple[list[Listed], int]]:
        """Mails that fit into memory together, and how much of it they take."""
        group: list[Listed] = []
        held = 0
        for mail in listed:
            size = 0 if self._is_too_large(mail) else self._size(mail)
            if group and held + size > _GROUP_BYTES:
                yield group, held
                group, held = [], 0
            group.append(mail)
            held += size
        if group:
            yield group, held

    def _size(self, mail: Listed) -> int:
        return self._limit if mail.size is None else mail.size

    def _is_too_large(self, mail: Listed) -> bool:
        return self._size(mail) > self._limit

    def _take(self, session: Session, group: Sequence[Listed], size: int, *, read_to: str = "") -> bool:
        """Spool what holds a report, then move it; False once it shall stop."""
        remembered = self._remembered
        for mail in group:
            if self._is_too_large(mail):
                self._fetching.leave_too_large(mail.key, self._size(mail))
        # Those of an earlier session, which ended before they were moved, the spool has.
        keys = [mail.key for mail in group if not (self._is_too_large(mail) or mail.key in remembered.unmoved)]
        with self._memory.share() as share:
            if self._stopping.is_set() or not share.wait(size, stopping=self._stopping):
                return False
            mails = self._fetching.fetch(session, keys, large=size > _GROUP_BYTES)
            spooled = [mail.key for mail in mails if self._put(mail)]
        remembered.position = read_to or remembered.position
        remembered.save()
        self._moves.add(session, spooled)
        self._progress()
        return True

    def _progress(self) -> None:
        self._backoff.succeeded()
        self.health.succeeded()

    def _put(self, mail: Fetched) -> bool:
        """Spool it if it holds a report; returns whether it does."""
        body = mail.body or b""
        kind = self._report_in(body, mail.key)
        if kind is None:
            self._left += 1
            LEFT.labels(self._mailbox.source.value, "no-report").inc()
            return False
        envelope = Envelope(
            source=self._mailbox.source,
            received_at=datetime.now(UTC),
            delivered_at=mail.delivered_at,
            name=self._mailbox.mail_name(mail.key),
            authserv_id=self._mailbox.authserv_id,
            from_trusted_mailbox=self._mailbox.trusted,
        )
        self._spool.put(envelope, body)
        self._remembered.unmoved[mail.key] = kind
        RECEIVED.labels(self._mailbox.source.value).inc()
        return True

    def _report_in(self, body: bytes, key: str) -> str | None:
        """The kind of report to spool it as. After a fault of ours it is spooled too: ingest then says what it is."""
        try:
            with _LOOKING:
                return report_in(body)
        except Exception:
            self._log.exception("a mail could not be looked into; it is stored", mail=self._mailbox.mail_name(key))
            return UNREAD

    def _say_what_was_left(self) -> None:
        if self._left:
            self._log.info("mails without a report stay in the mailbox", mails=self._left)
            self._left = 0


def trouble_of(error: Exception) -> Trouble:
    """What an error means that a session raised."""
    match error:
        case LostError():
            return error.trouble
        case ssl.SSLCertVerificationError():
            return Trouble.CERTIFICATE
        case OSError():
            return Trouble.UNREACHABLE
    return Trouble.LOST
