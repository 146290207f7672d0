"""Requests to Microsoft Graph (REST, version 1.0), and what its answers mean for whoever reads a mailbox.

429 and 503 say for how long to leave it alone (Retry-After), 401 that a token is valid no more. Errors have a code that
programs may rely on, and a message in words.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import urllib3

from collector.sources.mailbox.connecting import not_connected
from collector.sources.mailbox.https_client import pool, read, throttled
from collector.sources.mailbox.mailbox import LostError, RefusedError, TooLargeError, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.sources.mailbox.oauth import Tokens
    from collector.sources.mailbox.words import Secrets
    from mailposture.config.mailboxes import GraphMailbox as Settings

_PAGE: Final = 100  # mails of an answer; 10 unless asked
# Keys stay when a mail moves to another folder, and come back when it does.
_PREFER: Final = f'IdType="ImmutableId", odata.maxpagesize={_PAGE}'
_MOST_ANSWER: Final = 8 * 1024 * 1024  # bytes of JSON
_UPWARDS: Final = re.compile(r"/(\.|%2e){1,2}(/|$|[?#])", re.IGNORECASE)
_PIECE: Final = 256 * 1024  # bytes of a mail


class GoneError(Exception):
    """What was asked for is not there, or a link has expired (404, 410)."""


class GraphClient:
    """One account, with connections that are kept open. Methods raise what sessions do, and GoneError."""

    def __init__(self, settings: Settings, tokens: Tokens, secrets: Secrets, connections: urllib3.PoolManager) -> None:
        self._settings = settings
        self._tokens = tokens
        self._secrets = secrets
        self._connections = connections

    def get(self, link: str) -> dict[str, Any]:
        """The answer to a path below the configured URL, or to a link that Graph has given."""
        return self._json("GET", link)

    def post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        return self._json("POST", path, body)

    def mime(self, path: str, *, limit: int) -> bytes:
        """The bytes of a mail. Raises TooLargeError beyond `limit` bytes."""
        body = bytearray()
        with self._response("GET", path) as response:
            self._check(response)
            try:
                for piece in response.stream(_PIECE, decode_content=False):
                    body += piece
                    if len(body) > limit:
                        raise TooLargeError(len(body))
            except urllib3.exceptions.HTTPError as error:
                raise not_connected("Graph", error) from None
        return bytes(body)

    def _json(self, method: str, link: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        with self._response(method, link, body) as response:
            self._check(response)
            answer = _read_json(response)
        if not isinstance(answer, dict):
            raise RefusedError("Graph answers what cannot be read")
        return answer

    @contextmanager
    def _response(
        self, method: str, link: str, body: dict[str, str] | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        base = self._settings.url.rstrip("/")
        url = link if link.startswith("https://") else f"{base}/{link}"
        if not url.startswith(f"{base}/") or _UPWARDS.search(url):  # nobody else gets our token
            raise LostError(f"Graph names a link outside {base}", Trouble.LOST)
        headers = {"Authorization": f"Bearer {self._tokens.token()}", "Prefer": _PREFER}
        try:
            response = self._connections.request(
                method, url, headers=headers, json=body, redirect=False, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise not_connected(base, error) from None
        try:
            yield response
        finally:
            response.close()  # which keeps the connection, if all was read

    def _check(self, response: urllib3.BaseHTTPResponse) -> None:
        if response.status < 300:
            return
        if (busy := throttled(response, "Graph")) is not None:
            raise busy
        code, said = _error(_read_json(response))
        words = f"Graph answers {response.status}: {self._secrets.words(said)}"
        if response.status == 401:
            self._tokens.refused()
            raise LostError(words, Trouble.LOGIN)
        if response.status in (404, 410) or code.casefold().startswith("syncstate"):
            raise GoneError(words)
        raise RefusedError(words)


def entries(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """What an answer lists. Raises RefusedError."""
    found = answer.get("value")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise RefusedError("Graph answers what cannot be read")
    return found


def _read_json(response: urllib3.BaseHTTPResponse) -> Any:
    try:
        return json.loads(read(response, _MOST_ANSWER))
    except urllib3.exceptions.HTTPError as error:
        raise not_connected("Graph", error) from None
    except (ValueError, RecursionError):
        return None


def _error(answer: Any) -> tuple[str, str]:
    """Code and words of an error: {"error": {"code": "ErrorAccessDenied", "message": "Access is denied."}}."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        return "", "no reason"
    code = str(error.get("code", ""))
    return code, f"{code}: {error.get('message', '')}"


@contextmanager
def graph(settings: Settings, tokens: Tokens, secrets: Secrets) -> Iterator[GraphClient]:
    """A client; raises LostError if the authority's file cannot be read."""
    with pool(settings.certificate_authority) as connections:
        yield GraphClient(settings, tokens, secrets, connections)
