"""A mailbox by Microsoft Graph, where IMAP is switched off.

New mail is what a delta query lists: page by page, in an order of Graph's own, and at the end a link that will list
what has come since, also what somebody has moved back. How far the mailbox was read is such a link. A link expires some
day; then everything is looked at again. Nothing is ever deleted, and what is unread stays so.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from collector.documents.limits import LIMITS
from collector.sources.mailbox.graph_client import GoneError, GraphClient, entries, graph
from collector.sources.mailbox.graph_folders import Folders
from collector.sources.mailbox.mailbox import Fetched, Listed, LostError, RefusedError, TooLargeError, Trouble
from collector.sources.mailbox.oauth import tokens_of
from collector.sources.mailbox.words import Secrets
from reports.envelope import Source

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mailposture.config.mailboxes import GraphMailbox as Settings

_DELTA: Final = "messages/delta?changeType=created&$select=receivedDateTime"
_MOST_PAGES_WITHOUT_MAILS: Final = 1_000  # in a row


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

    def mails(self, after: str) -> Iterator[list[Listed]]:
        """A page at a time. Of one that was left half done, all is listed again."""
        first = f"{self._account}/mailFolders/{quote(self._folder)}/{_DELTA}"
        link, listed = after or first, 0
        pages: set[int] = set()
        without_mails = 0
        while True:
            try:
                page = self._client.get(link)
            except GoneError:
                if link == first:
                    raise
                link, listed = first, 0
                continue
            following = page.get("@odata.nextLink")
            self.end = str(following or page.get("@odata.deltaLink") or "")
            found = [each for each in entries(page) if isinstance(each.get("id"), str) and "@removed" not in each]
            listed += len(found)
            self._delivered = {each["id"]: _moment(each.get("receivedDateTime")) for each in found}
            self.waiting = max(0, self._in_folder - listed) if following else 0
            mails = [Listed(each["id"], None) for each in found]
            yield [*mails[:-1], mails[-1]._replace(position=self.end)] if mails else []
            if not following:
                return
            pages.add(hash(link))
            without_mails = 0 if mails else without_mails + 1
            if hash(link := str(following)) in pages or without_mails > _MOST_PAGES_WITHOUT_MAILS:
                raise LostError("Graph names pages without an end")

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
            self._delivered[key] = _moment(found.get("receivedDateTime"))
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


def _moment(written: object) -> datetime | None:
    """`receivedDateTime`: 2026-11-28T09:15:00Z."""
    try:
        return datetime.fromisoformat(str(written)).astimezone(UTC)
    except ValueError:
        return None
