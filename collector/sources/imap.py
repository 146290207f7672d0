"""Reports out of a mailbox (IMAP4rev1, RFC 3501), for those who already have them delivered somewhere.

A mail moves to the `processed` folder only after the spool has it on disk. Killed in between, we find it again, and
the same report counts once. Nothing is ever deleted, and what is too large stays where it is.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import structlog
from imapclient import IMAPClient, SocketTimeout  # type: ignore[import-untyped]
from imapclient.exceptions import IMAPClientError  # type: ignore[import-untyped]

from collector.documents.limits import LIMITS
from collector.metrics import RECEIVED, REFUSED
from collector.sources.memory import BodyMemory
from collector.spool import Spool, SpoolError
from mailposture.config.model import ImapMailbox
from mailposture.net.verifying import verifying_context
from mailposture.problems import ProblemError
from reports.envelope import Envelope, Source

log = structlog.get_logger()

_NETWORK = SocketTimeout(connect=30, read=60)  # seconds
_GROUP_MAILS = 100  # fetched, and then moved, by one command
_GROUP_BYTES = 8 * 1024 * 1024  # in memory at once, unless one mail alone is larger
_PIECE = 2 * 1024 * 1024  # of such a mail that is fetched at once: it lies in memory several times while it is read
_TICK = 1.0  # seconds between two looks at whether we are told to stop
_SHORTEST_WAIT, _LONGEST_WAIT = 1.0, 300.0  # seconds before the next try after a fault; doubled each time


class ImapSource:
    """Reads one mailbox in a thread of its own, until stop()."""

    def __init__(
        self, mailbox: ImapMailbox, *, spool: Spool, memory: BodyMemory, limit: int = LIMITS.message_bytes
    ) -> None:
        """`limit`: bytes; larger mails are left alone. Raises ProblemError for a configuration that makes no sense."""
        if mailbox.folder == mailbox.processed:
            raise ProblemError(
                f"imap {mailbox.host}: folder and processed are both {mailbox.folder!r}; name another folder in "
                "`processed`, where mails go once they are read"
            )
        self._mailbox = mailbox
        self._spool = spool
        self._memory = memory
        self._limit = limit
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"imap {mailbox.host}", daemon=True)
        self._log = log.bind(host=mailbox.host, user=mailbox.user, folder=mailbox.folder)
        self._uid_validity = 0
        self._spooled: set[int] = set()  # UIDs that the spool has, but that are not moved yet
        self._too_large: set[int] = set()  # UIDs that stay where they are

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what was begun. A server that does not answer is not waited for: everything can be done again."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        wait = _SHORTEST_WAIT
        while not self._stopping.is_set():
            try:
                with self._session() as client:
                    self._log.info("reading a mailbox")
                    while not self._stopping.is_set():
                        self._take_all(client)
                        wait = _SHORTEST_WAIT
                        self._wait_for_mail(client)
            except (OSError, IMAPClientError, SpoolError) as error:
                self._log.warning("cannot read a mailbox; trying again", reason=str(error), seconds=wait)
            except Exception:  # the thread must outlive whatever a server thinks of
                self._log.exception("reading a mailbox failed; trying again", seconds=wait)
            self._stopping.wait(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """A client that is logged in, with our folder selected and the processed folder there."""
        mailbox = self._mailbox
        password = mailbox.password_file.read_text(encoding="utf-8").rstrip("\r\n")  # anew: passwords change
        context = None
        if mailbox.tls:
            context = verifying_context(mailbox.certificate_authority)
        with IMAPClient(
            mailbox.host, port=mailbox.port, ssl=mailbox.tls, ssl_context=context, timeout=_NETWORK
        ) as client:
            client.normalise_times = False  # or it turns times into those of our zone, and leaves the zone out
            client.login(mailbox.user, password)
            processed = self._name_on_server(client, mailbox.processed)
            if not client.folder_exists(processed):
                client.create_folder(processed)
                client.subscribe_folder(processed)
            validity = int(client.select_folder(self._name_on_server(client, mailbox.folder))[b"UIDVALIDITY"])
            if validity != self._uid_validity:  # UIDs mean other mails now (RFC 3501, section 2.3.1.1)
                self._uid_validity = validity
                self._spooled.clear()
                self._too_large.clear()
            yield client

    @staticmethod
    def _name_on_server(client: Any, name: str) -> str:
        """`a/b` with the server's separator, below its personal namespace (RFC 2342), which may be `INBOX.`."""
        if name.upper() == "INBOX" or not client.has_capability("NAMESPACE"):
            return name
        personal = client.namespace().personal
        prefix, separator = personal[0] if personal else ("", "/")
        name = name.replace("/", separator or "/")
        return name if name.startswith(prefix) else prefix + name

    def _take_all(self, client: Any) -> None:
        """Bring every mail of the folder into the spool, then into the processed folder, group by group."""
        present = set(client.search(["NOT", "DELETED"]))
        self._spooled &= present
        self._too_large &= present
        self._move(client, sorted(self._spooled))
        waiting = sorted(present - self._spooled - self._too_large)
        for start in range(0, len(waiting), _GROUP_MAILS):
            for group, size in self._groups(client, waiting[start : start + _GROUP_MAILS]):
                with self._memory.share() as share:
                    if self._stopping.is_set() or not share.wait(size, stopping=self._stopping):
                        return
                    self._take(client, group, size)

    def _groups(self, client: Any, uids: Sequence[int]) -> Iterator[tuple[list[int], int]]:
        """UIDs that fit into memory together, and their size, without those that are too large."""
        group: list[int] = []
        held = 0
        for uid, answer in client.fetch(uids, ["RFC822.SIZE"]).items():
            size = int(answer.get(b"RFC822.SIZE", 0))
            if size > self._limit:
                self._leave(uid, size)
                continue
            if group and held + size > _GROUP_BYTES:
                yield group, held
                group, held = [], 0
            group.append(uid)
            held += size
        if group:
            yield group, held

    def _leave(self, uid: int, size: int) -> None:
        self._too_large.add(uid)
        REFUSED.labels(Source.IMAP.value, "too-large").inc()
        self._log.warning(
            "a mail is too large to be a report; it stays in the mailbox", uid=uid, bytes=size, limit=self._limit
        )

    def _take(self, client: Any, uids: Sequence[int], size: int) -> None:
        mailbox = self._mailbox
        for uid, delivered, body in self._mails(client, uids, size):
            envelope = Envelope(
                source=Source.IMAP,
                received_at=datetime.now(UTC),
                delivered_at=_delivered(delivered),
                name=f"{mailbox.user} at {mailbox.host}, {mailbox.folder} UID {uid}",
                from_trusted_mailbox=mailbox.trusted,
            )
            self._spool.put(envelope, body)
            self._spooled.add(uid)
            RECEIVED.labels(Source.IMAP.value).inc()
        self._move(client, sorted(self._spooled))

    def _mails(
        self, client: Any, uids: Sequence[int], size: int
    ) -> Iterator[tuple[int, datetime | None, bytes | bytearray]]:
        """UID, time of delivery and bytes of each."""
        if size <= _GROUP_BYTES:
            for uid, answer in client.fetch(uids, ["INTERNALDATE", "BODY.PEEK[]"]).items():
                yield uid, answer.get(b"INTERNALDATE"), answer.get(b"BODY[]") or b""
            return
        (uid,) = uids
        delivered = client.fetch([uid], ["INTERNALDATE"]).get(uid, {}).get(b"INTERNALDATE")
        body = bytearray()
        while piece := _piece(client, uid, len(body)):
            body += piece
            if len(body) > self._limit:  # larger than the server said
                self._leave(uid, len(body))
                return
        yield uid, delivered, body

    def _move(self, client: Any, uids: Sequence[int]) -> None:
        """Move mails that the spool has; by MOVE (RFC 6851) or, on old servers, by what it stands for."""
        if not uids:
            return
        processed = self._name_on_server(client, self._mailbox.processed)
        if client.has_capability("MOVE"):
            client.move(uids, processed)
        else:
            client.copy(uids, processed)
            client.delete_messages(uids, silent=True)
            # Without UIDPLUS an EXPUNGE would also take what others marked: then the mark alone must do.
            if client.has_capability("UIDPLUS"):
                client.uid_expunge(uids)
        self._spooled.difference_update(uids)

    def _wait_for_mail(self, client: Any) -> None:
        """Until the server tells of something (IDLE, RFC 2177), or for as long as the configuration says."""
        until = time.monotonic() + self._mailbox.poll.total_seconds()
        if not client.has_capability("IDLE"):
            self._stopping.wait(self._mailbox.poll.total_seconds())
            return
        client.idle()
        while not self._stopping.is_set() and (now := time.monotonic()) < until:
            told = client.idle_check(timeout=_TICK)
            if told or time.monotonic() - now < _TICK / 2:  # no news before the time is over: the connection has ended
                break
        client.idle_done()


def _delivered(internal_date: datetime | None) -> datetime | None:
    """When the mailbox accepted a mail (RFC 3501, section 2.3.3), which may be long before we read it."""
    return internal_date.astimezone(UTC) if internal_date is not None else None


def _piece(client: Any, uid: int, start: int) -> bytes:
    """Part of a mail (RFC 3501, section 6.4.5); empty after its end."""
    answer = client.fetch([uid], [f"BODY.PEEK[]<{start}.{_PIECE}>"]).get(uid, {})
    return next((part for name, part in answer.items() if name.startswith(b"BODY[]")), None) or b""
