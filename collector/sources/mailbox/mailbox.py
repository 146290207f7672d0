"""What every kind of mailbox can do for the loop that reads it: list, fetch, and move what is done.

A mail goes by a key, which means that mail for as long as the mailbox's epoch stays. Mails are listed in an order in
which new ones come last, so that one position says how far it was read.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from collector.sources.mailbox.words import shown

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from reports.envelope import Source


class RefusedError(Exception):
    """The server refuses what it was asked for; it goes on answering."""

    def __init__(self, message: str) -> None:
        """Not all of `message` is kept, if it is long."""
        super().__init__(shown(message))


class Trouble(StrEnum):
    """Why a mailbox as a whole cannot be read, as a label of metrics."""

    UNREACHABLE = "unreachable"  # no connection, or it ended
    CERTIFICATE = "certificate"  # the server is not who it must be, or offers no TLS
    FILE = "file"  # one that the configuration names, with a secret or a certificate
    LOGIN = "login"
    TOKEN = "token"  # noqa: S105  of OAuth: none is given out
    THROTTLED = "throttled"  # asked too often
    FOLDER = "folder"  # it is not there, or must not be read
    LOST = "lost"  # the server ended the session, or answered what cannot be read


class LostError(Exception):
    """There is no session any more, or none could begin; a later one may do better."""

    def __init__(self, message: str, trouble: Trouble = Trouble.LOST, *, wait: float = 0.0) -> None:
        """`wait`: seconds that the server wants to be left alone. Not all of `message` is kept, if it is long."""
        super().__init__(shown(message))
        self.trouble = trouble
        self.wait = wait


class TooLargeError(Exception):
    """A mail is larger than asked for."""

    def __init__(self, size: int) -> None:
        """`size`: bytes that are known of it."""
        super().__init__(f"more than {size} bytes")
        self.size = size


class Listed(NamedTuple):
    """A mail in the mailbox."""

    key: str
    size: int | None  # bytes; None if the server does not say
    position: str = ""  # how far the mailbox was read once it and all before it are done; empty if that is not known


class Fetched(NamedTuple):
    """A mail as it was delivered."""

    key: str
    delivered_at: datetime | None  # when the mailbox accepted it; UTC, aware
    body: bytes | None  # None if the server answered without it


class Session(Protocol):
    """A mailbox that is open. Its methods raise RefusedError, LostError or OSError."""

    @property
    def epoch(self) -> str: ...  # with another one, keys mean other mails
    @property
    def read_only(self) -> bool: ...  # mails can be read, and nothing else
    @property
    def moves_whole(self) -> bool: ...  # a move is one step, so that one which is repeated leaves no second copy
    @property
    def waiting(self) -> int: ...  # mails that mails() has found, and not yet handed out
    @property
    def end(self) -> str: ...  # how far the mailbox was read once all that mails() handed out is done; or empty

    def mails(self, after: str) -> Iterator[list[Listed]]:
        """What comes after a position, in order, some at a time; after an empty one, everything."""

    def glance(self) -> tuple[int, Listed | None]:
        """How many mails there are, and one of them; without listing all, where that takes long."""

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of some keys that are there still."""

    def fetch(self, keys: Sequence[str]) -> Iterator[Fetched]:
        """Some small mails; one that is gone is left out."""

    def fetch_large(self, key: str, *, limit: int) -> Fetched:
        """One mail in pieces, since an answer lies in memory twice. Raises TooLargeError beyond `limit` bytes."""

    def move(self, keys: Sequence[str], kind: str) -> None:
        """To where mails go that are done, with reports of a kind in them."""

    def cannot_move(self) -> str:
        """Why nothing can be moved, as far as that is known without trying; or empty."""

    def wait(self, stopping: threading.Event, *, at_most: float) -> None:
        """Until there may be new mail, at most so many seconds."""


def first_listed(session: Session) -> tuple[int, Listed | None]:
    """A glance at a mailbox whose list is cheap. Raises what sessions do."""
    some = next(filter(None, session.mails("")), [])
    return len(some) + session.waiting, some[0] if some else None


class Mailbox(Protocol):
    """How to open one."""

    @property
    def source(self) -> Source: ...
    @property
    def name(self) -> str: ...  # what a person would look for
    @property
    def trusted(self) -> bool: ...  # whether its own server has checked signatures, as the configuration says
    @property
    def authserv_id(self) -> str | None: ...  # of its own server, whose Authentication-Results count

    def open(self) -> AbstractContextManager[Session]:
        """A session. Raises LostError or OSError."""

    def mail_name(self, key: str) -> str:
        """What a person would look for to find one mail."""
