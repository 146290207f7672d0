"""A mailbox by Microsoft Graph, where IMAP is switched off.

New mail is what a delta query lists, and at the end a link that will list what has come since, also what somebody has
moved back. How far the mailbox was read is such a link, and the last mail of its list that is done. A link expires some
day; then everything is looked at again. Nothing is ever deleted, and what is unread stays so.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from collector.documents.limits import LIMITS
from collector.sources.mailbox.graph_client import GoneError, GraphClient, graph
from collector.sources.mailbox.graph_folders import Folders
from collector.sources.mailbox.graph_listing import Listing, moment_of
from collector.sources.mailbox.mailbox import Fetched, Listed, LostError, RefusedError, TooLargeError, Trouble
from collector.sources.mailbox.oauth import tokens_of
from collector.sources.mailbox.words import Secrets
from reports.envelope import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from mailposture.config.mailboxes import GraphMailbox as Settings

_DELTA: Final = "messages/delta?changeType=created&$select=receivedDateTime"


class GraphMailbox:
    """One folder of an account."""

    source = Source.GRAPH

    def __init__(self, settings: Settings, *, folder: Path) -> None:
        """`folder`: where a replaced refresh token is kept."""
        self._settings = settings
        self.name = settings.name
        self.trusted = settings.trusted
        self.authserv_id = settings.authserv_id
        self._secrets = Secrets()
        self._tokens = tokens_of(settings.oauth, self.name, folder, self._secrets)

    def mail_name(self, key: str) -> str:
        return f"{self.name} message {key}"

    @contextmanager
    def open(self) -> Iterator[GraphSession]:
        """A session; our folder is there."""
        with graph(self._settings, self._tokens, self._secrets) as client:
            account = f"users/{quote(self._settings.user, safe='@')}"
            folders = Folders(client, account)
            try:
                found = folders.find(self._settings.folder)
            except (GoneError, RefusedError) as error:
                raise LostError(str(error), Trouble.FOLDER) from error
            if found is None:
                raise LostError(f"there is no folder {self._settings.folder}", Trouble.FOLDER)
            try:
                yield GraphSession(client, account, folders, found, self._settings)
            except GoneError as error:
                raise RefusedError(str(error)) from error


class GraphSession:
    """A folder of an account. Keys are immutable ids of messages."""

    moves_whole = True

    def __init__(
        self, client: GraphClient, account: str, folders: Folders, folder: dict[str, Any], settings: Settings
    ) -> None:
        self._client = client
        self._account = account
        self._folders = folders
        self._folder = str(folder["id"])
        self._settings = settings
        self._delivered: dict[str, datetime | None] = {}  # of the mails that were listed last
        self._in_folder = count if isinstance(count := folder.get("totalItemCount"), int) else 0
        self.epoch = self._folder
        self.read_only = settings.processed is None
        self.waiting = 0
        self.end = ""
        self._listing = Listing(client, f"{account}/mailFolders/{quote(self._folder)}/{_DELTA}")

    def mails(self, after: str) -> Iterator[list[Listed]]:
        for some in self._listing.mails(after):
            self._delivered = {mail.key: moment_of(mail.delivered) for mail, _ in some}
            self.waiting = self._listing.waiting
            yield [Listed(mail.key, None, position=place) for mail, place in some]
        self.end = self._listing.end

    def glance(self) -> tuple[int, Listed | None]:
        some = self._listing.first_page()
        return max(self._in_folder, len(some)), Listed(some[0].key, None) if some else None

    def present(self, keys: Sequence[str]) -> set[str]:
        return {key for key in keys if self._parent(key) == self._folder}

    def _parent(self, key: str) -> str:
        try:
            return str(self._client.get(f"{self._message(key)}?$select=parentFolderId").get("parentFolderId"))
        except GoneError:
            return ""

    def fetch(self, keys: Sequence[str]) -> Iterator[Fetched]:
        for key in keys:
            try:
                yield self.fetch_large(key, limit=LIMITS.message_bytes)
            except TooLargeError:
                yield Fetched(key, None, None)
            except GoneError:
                continue

    def fetch_large(self, key: str, *, limit: int) -> Fetched:
        try:
            body = self._client.mime(f"{self._message(key)}/$value", limit=limit)
            return Fetched(key, self._delivered_at(key), body or None)
        except GoneError:
            return Fetched(key, None, None)

    def _delivered_at(self, key: str) -> datetime | None:
        if key not in self._delivered:
            found = self._client.get(f"{self._message(key)}?$select=receivedDateTime")
            self._delivered[key] = moment_of(found.get("receivedDateTime"))
        return self._delivered[key]

    def move(self, keys: Sequence[str], kind: str) -> None:
        destination = self._folders.made(self._settings.processed_folder(kind))
        for key in keys:
            try:
                self._client.post(f"{self._message(key)}/move", {"destinationId": destination})
            except GoneError as error:
                if self._parent(key) == self._folder:  # so it is the destination that is gone
                    self._folders.forget()
                    raise RefusedError(str(error)) from error

    def cannot_move(self) -> str:
        return ""  # Graph does not show what an application may do

    def wait(self, stopping: threading.Event, *, at_most: float) -> None:
        stopping.wait(min(at_most, self._settings.poll.total_seconds()))

    def _message(self, key: str) -> str:
        return f"{self._account}/messages/{quote(key, safe='')}"
