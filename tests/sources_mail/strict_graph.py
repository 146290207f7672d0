"""Microsoft Graph as far as a mailbox needs it, and strict: what its documentation does not have is an error.

Messages have immutable ids, pages are as large as asked for, links to more are opaque, and a delta link lists what was
added to its folder since, the newest first: in which order they come is not documented, and nobody may rely on one.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sources_mail.web_server import Answer, Request, serving_https

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from pki import CertificateAuthority

USER = "reports@shop.example"
START = datetime(2026, 11, 1, 9, tzinfo=UTC)
_PREFERRED = re.compile(r'IdType="ImmutableId", odata\.maxpagesize=(\d+)')


class StrictGraph:
    """State and behaviour, of one account."""

    def __init__(self, authority: CertificateAuthority, tokens: Collection[str], *mails: bytes) -> None:
        self.authority = authority
        self.user = USER
        self.tokens = tokens
        self.mails: dict[str, bytes] = {}
        self.unread: set[str] = set()
        self.parents: dict[str, str] = {}  # of messages
        self.folders = {"root": ("", ""), "in==": ("root", "Inbox"), "sent": ("root", "Sent Items")}
        self.added: list[tuple[str, str]] = []  # message, folder, in their order
        self.links: dict[
            str, tuple[int, list[str]]
        ] = {}  # what is added later, and which messages are to be named first
        self.page = 100  # most mails of an answer
        self.requests: list[tuple[str, str]] = []
        self.downloads: list[str] = []
        self.instead: Callable[[Request], Answer | None] = lambda _request: None
        self.port = 0
        self.deliver(*mails)

    @contextmanager
    def serving(self) -> Iterator[StrictGraph]:
        with serving_https(self.authority, self.answer) as self.port:
            yield self

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1.0"

    def deliver(self, *mails: bytes) -> None:
        for mail in mails:
            key = f"AAMk/{len(self.mails) + 1}+="
            self.mails[key] = mail
            self.unread.add(key)
            self._put(key, "in==")

    def put_back(self, key: str) -> None:
        self._put(key, "in==")

    def _put(self, key: str, folder: str) -> None:
        self.parents[key] = folder
        self.added.append((key, folder))

    def bodies(self, path: str) -> list[bytes]:
        """Of the mails in a folder."""
        folder = "root"
        for name in path.split("/"):
            folder = next((each for each, known in self.folders.items() if known == (folder, name)), "none")
        return [self.mails[key] for key in self.mails if self.parents[key] == folder]

    def expire_links(self) -> None:
        self.links.clear()

    def answer(self, request: Request) -> Answer:
        path = unquote(request.path)
        self.requests.append((request.method, path))
        scheme, _, token = request.headers["Authorization"].partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            return error(401, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
        if (instead := self.instead(request)) is not None:
            return instead
        prefix = f"/v1.0/users/{self.user}/"
        if not path.startswith(prefix):
            return error(404, "ErrorInvalidUser", "The requested user is invalid.")
        return self._account(request, request.path.removeprefix(prefix).split("/"))

    def _account(self, request: Request, parts: list[str]) -> Answer:
        kind, *rest = [unquote(part) for part in parts]
        found = {"mailFolders": self._in_folders, "messages": self._in_messages}.get(kind)
        answered = found(request, rest) if found else None
        return answered or error(400, "BadRequest", f"{request.method} {request.path} {request.query}")

    def _in_folders(self, request: Request, parts: list[str]) -> Answer | None:
        match request.method, parts:
            case "GET", [name] if not request.query:
                return self._folder("in==" if name == "inbox" else name)
            case "GET" | "POST", []:
                return self._children("root", request)
            case "GET" | "POST", [folder, "childFolders"]:
                return self._children(folder, request)
            case "GET", [folder, "messages", "delta"]:
                return self._delta(folder, request)
        return None

    def _in_messages(self, request: Request, parts: list[str]) -> Answer | None:
        match request.method, parts:
            case "GET", [key, "$value"]:
                return self._value(key)
            case "GET", [key] if list(request.query) == ["$select"]:
                return self._message(key)
            case "POST", [key, "move"]:
                return self._move(key, json.loads(request.body))
        return None

    def _folder(self, folder: str) -> Answer:
        if folder not in self.folders:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return answer(200, self._shown(folder))

    def _shown(self, folder: str) -> dict[str, Any]:
        parent, name = self.folders[folder]
        total = sum(where == folder for where in self.parents.values())
        return {"id": folder, "parentFolderId": parent, "displayName": name, "totalItemCount": total}

    def _children(self, parent: str, request: Request) -> Answer:
        if parent not in self.folders:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        children = {name: folder for folder, (above, name) in self.folders.items() if above == parent and name}
        if request.method == "GET":
            wanted = re.fullmatch(r"displayName eq '((?:[^']|'')+)'", request.query.get("$filter", ""))
            if wanted is None:
                return error(400, "BadRequest", "Invalid filter clause")
            name = wanted[1].replace("''", "'")
            found = [self._shown(children[name])] if name in children else []
            return answer(200, {"value": found})
        name = json.loads(request.body)["displayName"]
        if name in children:
            return error(409, "ErrorFolderExists", "A folder with the specified name already exists.")
        made = f"id of {name}=="
        self.folders[made] = (parent, name)
        return answer(201, self._shown(made))

    def _delta(self, folder: str, request: Request) -> Answer:
        if folder not in self.folders:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        preferred = _PREFERRED.fullmatch(request.headers["Prefer"] or "")
        assert preferred, "immutable ids are asked for each time"
        match request.query:
            case {"$deltatoken": link, **rest} | {"$skiptoken": link, **rest} if not rest:
                if link not in self.links:
                    return error(410, "SyncStateNotFound", "The sync state generation is not found.")
                start, left = self.links[link]
            case {"changeType": "created", "$select": "receivedDateTime", **rest} if not rest:
                start, left = 0, []
            case _:
                return error(400, "BadRequest", str(request.query))
        if not left:
            left = list(dict.fromkeys(key for key, where in reversed(self.added[start:]) if where == folder))
            start = len(self.added)
        size = min(int(preferred[1]), self.page)
        page = [key for key in left[:size] if self.parents[key] == folder]
        return answer(200, {"value": [self._listed(key) for key in page], **self._links(folder, start, left[size:])})

    def _links(self, folder: str, start: int, left: list[str]) -> dict[str, str]:
        token = f"{'s' if left else 'd'}{len(self.links)}"
        self.links[token] = (start, left)
        kind, parameter = ("nextLink", "$skiptoken") if left else ("deltaLink", "$deltatoken")
        return {
            f"@odata.{kind}": f"{self.url}/users/{self.user}/mailFolders/{folder}/messages/delta?{parameter}={token}"
        }

    def _listed(self, key: str) -> dict[str, Any]:
        number = list(self.mails).index(key)
        moment = f"{START + timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ}"
        return {"@odata.type": "#microsoft.graph.message", "id": key, "receivedDateTime": moment}

    def _value(self, key: str) -> Answer:
        if key not in self.parents:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        self.downloads.append(key)
        return Answer(200, self.mails[key], {"Content-Type": "text/plain"})

    def _message(self, key: str) -> Answer:
        if key not in self.parents:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        return answer(200, {**self._listed(key), "parentFolderId": self.parents[key]})

    def _move(self, key: str, asked: dict[str, str]) -> Answer:
        if key not in self.parents or asked["destinationId"] not in self.folders:
            return error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
        self._put(key, asked["destinationId"])
        return answer(201, {"id": key, "parentFolderId": asked["destinationId"]})


def answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    body = json.dumps({"error": {"code": code, "message": message, "innerError": {"request-id": "1"}}})
    return Answer(status, body.encode(), {"Content-Type": "application/json", **(headers or {})})
