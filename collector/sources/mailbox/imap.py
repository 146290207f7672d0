"""A mailbox by IMAP4rev1 (RFC 3501).

Nothing is ever deleted, nothing is marked as seen, and a mailbox that cannot be written is read all the same.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from imapclient.exceptions import (  # type: ignore[import-untyped]
    IMAPClientAbortError,
    IMAPClientError,
    IMAPClientReadOnlyError,
)

from collector.sources.mailbox.imap_login import logged_in
from collector.sources.mailbox.mailbox import (
    Fetched,
    Listed,
    LostError,
    RefusedError,
    TooLargeError,
    Trouble,
    first_listed,
)
from collector.sources.mailbox.oauth import tokens_of
from collector.sources.mailbox.words import Secrets
from reports.envelope import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from collector.sources.mailbox.imap_client import BoundedClient
    from mailposture.config.mailboxes import ImapMailbox as Settings

_LISTED_AT_ONCE: Final = 100
_SEARCHED_AT_ONCE: Final = 131_072  # UIDs, of up to 10 digits, in an answer of one line
_LARGEST_UID: Final = 0xFFFF_FFFF  # RFC 3501, section 2.3.1.1
_PIECE: Final = 2 * 1024 * 1024  # of a large mail: it lies in memory several times while it is read
_MOST_SHORT_PIECES: Final = 100  # a server may hand out less than it is asked for
_TICK: Final = 1.0  # seconds between two looks at whether to stop

_Answer = TypeVar("_Answer")
_Kind = TypeVar("_Kind")


class ImapMailbox:
    """One folder of an account."""

    source = Source.IMAP

    def __init__(self, settings: Settings, *, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """`folder`: where a replaced refresh token is kept; `clock`: seconds, for how long the server answers."""
        self._settings = settings
        self._clock = clock
        self.name = settings.name
        self.trusted = settings.trusted
        self.authserv_id = settings.authserv_id
        self._secrets = Secrets()
        self._tokens = tokens_of(settings.oauth, self.name, folder, self._secrets) if settings.oauth else None

    def mail_name(self, key: str) -> str:
        return f"{self.name} UID {key}"

    @contextmanager
    def open(self) -> Iterator[ImapSession]:
        """A session that is logged in, with our folder selected."""
        with ExitStack() as stack:
            try:
                client = logged_in(self._settings, self._tokens, self._secrets, clock=self._clock)
                session = ImapSession(stack.enter_context(client), self._settings, self._secrets)
            except (OSError, LostError):
                raise
            except Exception as error:  # imapclient raises anything where an answer cannot be read
                raise LostError(self._secrets.words(str(error) or repr(error))) from None
            yield session


class ImapSession:
    """A folder that is selected. Keys are UIDs, which ascend (RFC 3501, section 2.3.1.1); so positions are UIDs too."""

    end = ""  # which the last mail says

    def __init__(self, client: BoundedClient, settings: Settings, secrets: Secrets) -> None:
        self._client = client
        self._secrets = secrets
        self._settings = settings
        self._made: dict[str, str] = {}  # folders that are there, and their names on the server
        self._can_idle: bool = client.has_capability("IDLE")
        self.read_only = settings.processed is None
        self.moves_whole: bool = client.has_capability("MOVE")
        self.waiting = 0
        self._folder = self._name_on_server(settings.folder)
        selected = self._select(self._folder)
        if (validity := _only(int, selected.get(b"UIDVALIDITY"))) is None:
            raise LostError(f"folder {settings.folder}: the server gives it no UIDVALIDITY", Trouble.FOLDER)
        self.epoch = str(validity)
        self._next = int(selected.get(b"UIDNEXT", 0))
        self._is_large = int(selected.get(b"EXISTS", 0)) > _SEARCHED_AT_ONCE

    def _select(self, folder: str) -> dict[bytes, Any]:
        """By EXAMINE (RFC 3501, section 6.3.2) if nothing is to be written, or if nothing can be."""
        try:
            if not self.read_only:
                try:
                    return cast("dict[bytes, Any]", self._client.select_folder(folder))
                except IMAPClientReadOnlyError:
                    self.read_only = True
            return cast("dict[bytes, Any]", self._client.select_folder(folder, readonly=True))
        except IMAPClientAbortError:
            raise
        except IMAPClientError as error:
            raise LostError(f"folder {folder}: {self._secrets.words(error)}", Trouble.FOLDER) from None

    def mails(self, after: str) -> Iterator[list[Listed]]:
        first = int(after or 0) + 1
        while self._is_large and first + _SEARCHED_AT_ONCE <= self._next:
            yield from self._listed(first, str(first + _SEARCHED_AT_ONCE - 1))
            first += _SEARCHED_AT_ONCE
        yield from self._listed(first, "*")

    def _listed(self, first: int, last: str) -> Iterator[list[Listed]]:
        """With `*` for the last, a server finds the last mail even if its UID is below the first."""
        found = self._ask(lambda: self._client.search(["UID", f"{first}:{last}", "NOT", "DELETED"]))
        uids = sorted({uid for uid in found if first <= uid <= _LARGEST_UID})
        for start in range(0, len(uids), _LISTED_AT_ONCE):
            some = uids[start : start + _LISTED_AT_ONCE]
            self.waiting = len(uids) - start - len(some)
            try:
                sizes = self._ask(lambda: self._client.fetch(some, ["RFC822.SIZE"]))  # noqa: B023  called at once
            except RefusedError:
                sizes = {}
            yield [
                Listed(str(uid), _only(int, sizes.get(uid, {}).get(b"RFC822.SIZE")), position=str(uid)) for uid in some
            ]

    def glance(self) -> tuple[int, Listed | None]:
        return first_listed(self)

    def present(self, keys: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(keys), _LISTED_AT_ONCE):
            some = ",".join(keys[start : start + _LISTED_AT_ONCE])
            found.update(map(str, self._ask(lambda: self._client.search(["UID", some, "NOT", "DELETED"]))))  # noqa: B023
        return found & set(keys)

    def fetch(self, keys: Sequence[str]) -> Iterator[Fetched]:
        uids = [int(key) for key in keys]
        answers = self._ask(lambda: self._client.fetch(uids, ["INTERNALDATE", "BODY.PEEK[]"]))
        for uid in uids:
            if answer := answers.pop(uid, None):
                body = _only(bytes, answer.get(b"BODY[]", answer.get(b"RFC822")))
                yield Fetched(str(uid), _utc(answer.get(b"INTERNALDATE")), body)

    def fetch_large(self, key: str, *, limit: int) -> Fetched:
        uid = int(key)
        delivered = self._ask(lambda: self._client.fetch([uid], ["INTERNALDATE"])).get(uid, {}).get(b"INTERNALDATE")
        body = bytearray()
        for _ in range(limit // _PIECE + _MOST_SHORT_PIECES):
            if not (piece := self._piece(uid, len(body))):
                break
            body += piece
            if len(body) > limit:
                raise TooLargeError(len(body))
        else:
            raise RefusedError("the server hands it out in too many pieces")
        return Fetched(key, _utc(delivered), bytes(body) or None)

    def _piece(self, uid: int, start: int) -> bytes:
        """Part of a mail (RFC 3501, section 6.4.5); empty after its end."""
        answer = self._ask(lambda: self._client.fetch([uid], [f"BODY.PEEK[]<{start}.{_PIECE}>"])).get(uid, {})
        return _only(bytes, next((part for name, part in answer.items() if name.startswith(b"BODY[]")), None)) or b""

    def move(self, keys: Sequence[str], kind: str) -> None:
        """By MOVE (RFC 6851) or, on old servers, by what it stands for."""
        uids = [int(key) for key in keys]
        self._ask(lambda: self._move(uids, self._made_folder(self._settings.processed_folder(kind))))

    def cannot_move(self) -> str:
        if not self._client.has_capability("ACL"):
            return ""
        rights = self._ask(lambda: self._client.rights(self._folder))
        old = "d" in rights and not rights & set("ektx")  # RFC 4314, section 2.1.1: also shown for any of these
        if old or {"t", "e"} <= rights:
            return ""
        shown = "".join(sorted(rights)) or "none"
        return f"the account may not delete in {self._settings.folder} (its rights are {shown}; t and e are needed)"

    def _move(self, uids: Sequence[int], processed: str) -> None:
        client = self._client
        if self.moves_whole:
            client.move(uids, processed)
            return
        client.copy(uids, processed)
        client.delete_messages(uids, silent=True)
        # Without UIDPLUS an EXPUNGE would also take what others marked: then the mark alone must do.
        if client.has_capability("UIDPLUS"):
            client.uid_expunge(uids)

    def _made_folder(self, name: str) -> str:
        if name not in self._made:
            on_server = self._name_on_server(name)
            if not self._client.folder_exists(on_server):
                self._client.create_folder(on_server)
                self._client.subscribe_folder(on_server)
            self._made[name] = on_server
        return self._made[name]

    def wait(self, stopping: threading.Event, *, at_most: float) -> None:
        """By IDLE (RFC 2177), or for as long as the configuration says."""
        seconds = min(at_most, self._settings.poll.total_seconds())
        if self._can_idle:
            try:
                return self._ask(lambda: self._idle(stopping, until=time.monotonic() + seconds))
            except RefusedError:  # although it announces the capability
                self._can_idle = False
        stopping.wait(seconds)
        return None

    def _idle(self, stopping: threading.Event, *, until: float) -> None:
        self._client.idle()
        while not stopping.is_set() and (now := time.monotonic()) < until:
            said = self._client.idle_check(timeout=_TICK)
            if said or time.monotonic() - now < _TICK / 2:  # no news before the time is over: the connection has ended
                break
        self._client.idle_done()
        stopping.wait(_TICK)  # a server may have news all the time

    def _name_on_server(self, name: str) -> str:
        """`a/b` with the server's separator, below its personal namespace (RFC 2342), which may be `INBOX.`."""
        if name.upper() == "INBOX" or not self._client.has_capability("NAMESPACE"):
            return name
        personal = self._client.namespace().personal
        prefix, separator = personal[0] if personal else ("", "/")
        name = name.replace("/", separator or "/")
        return name if name.startswith(prefix) else prefix + name

    def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        try:
            return question()
        except IMAPClientAbortError as error:
            raise LostError(self._secrets.words(error)) from None
        except (OSError, LostError):
            raise
        except Exception as error:  # also what imapclient raises where an answer cannot be read
            raise RefusedError(self._secrets.words(str(error) or repr(error))) from None


def _only(kind: type[_Kind], value: object) -> _Kind | None:
    """A value of an answer, or None if it is not of the type that was asked for."""
    return value if isinstance(value, kind) else None


def _utc(moment: object) -> datetime | None:
    """INTERNALDATE (RFC 3501, section 2.3.3): when the mailbox accepted a mail, which may be long before we read it."""
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None
