"""Folders of an account at Microsoft Graph, which go by ids: found and made by their names, as `a/b`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from collector.sources.mailbox.graph_client import entries
from collector.sources.mailbox.mailbox import RefusedError

if TYPE_CHECKING:
    from collector.sources.mailbox.graph_client import GraphClient


class Folders:
    """Methods raise what the client does."""

    def __init__(self, client: GraphClient, account: str) -> None:
        self._client = client
        self._account = account
        self._made: dict[str, str] = {}

    def find(self, path: str) -> dict[str, Any] | None:
        """A folder with its id, or None if it is not there."""
        found: dict[str, Any] | None = None
        for name in path.split("/"):
            found = self._child(found, name)
            if found is None:
                return None
        return found

    def made(self, path: str) -> str:
        """The id of a folder, which is made if it is not there."""
        if path not in self._made:
            found: dict[str, Any] | None = None
            for name in path.split("/"):
                found = self._child(found, name) or self._client.post(self._children(found), {"displayName": name})
            if found is None or "id" not in found:
                raise RefusedError(f"the folder {path} cannot be made")
            self._made[path] = str(found["id"])
        return self._made[path]

    def forget(self) -> None:
        """Look again for folders that were there."""
        self._made.clear()

    def _child(self, parent: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
        if parent is None and name.casefold() == "inbox":
            return self._client.get(f"{self._account}/mailFolders/inbox")
        wanted = name.replace("'", "''")  # as OData writes strings
        condition = quote(f"displayName eq '{wanted}'")
        children = entries(self._client.get(f"{self._children(parent)}?$filter={condition}"))
        same = (each for each in children if str(each.get("displayName")).casefold() == name.casefold())
        return next((each for each in same if "id" in each), None)

    def _children(self, parent: dict[str, Any] | None) -> str:
        if parent is None:
            return f"{self._account}/mailFolders"
        return f"{self._account}/mailFolders/{quote(str(parent['id']))}/childFolders"
