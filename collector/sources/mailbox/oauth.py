"""Access tokens for a mailbox (RFC 6749): from files, renewed before they expire, and never in a log.

Two ways: the application's own credentials (section 4.4), as Microsoft 365 has for services, or a refresh token that
somebody consented to (section 6), as Gmail has. A server may replace a refresh token whenever it is used, and revoke
the old one; so a new one is kept on disk, until the file of the configuration holds another.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import urllib3
from oauthlib.oauth2 import BackendApplicationClient, MissingTokenError, OAuth2Error, WebApplicationClient

from collector.sources.mailbox.connecting import not_connected
from collector.sources.mailbox.https_client import pool, read, throttled
from collector.sources.mailbox.mailbox import LostError, Trouble
from collector.sources.mailbox.secret_files import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.sources.mailbox.words import Secrets
    from mailposture.config.mailboxes import OAuth

_EARLY: Final = 300.0  # seconds before its expiry that a token is renewed, or half of its life
_USUAL_LIFE: Final = 600.0  # seconds, where the server does not say
_LONGEST_LIFE: Final = 86_400.0  # seconds, whatever the server says
_TOKEN: Final = re.compile(r"[ -~]{1,16384}")  # RFC 6749, appendix A.12; others would end a header field and begin one
_MARKUP: Final = re.compile(r"<(style|script|head)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_MOST_READ: Final = 4_096  # bytes of an answer in words
_MOST_SHOWN: Final = 120  # characters of it
_MOST_ANSWER: Final = 256 * 1024  # bytes


class Tokens:
    """Of one account; safe to use from any thread."""

    def __init__(
        self, settings: OAuth, *, kept: Path, secrets: Secrets, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`kept`: where a replaced refresh token is written; `secrets`: gets all of them; `clock`: seconds."""
        self._settings = settings
        self._secrets = secrets
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def token(self) -> str:
        """One that is valid for some minutes. Raises LostError or OSError."""
        with self._lock:
            if not self._token or self._clock() >= self._renew_at:
                self._token, life = self._new()
                self._renew_at = self._clock() + life - min(_EARLY, life / 2)
            return self._token

    def refused(self) -> None:
        """A server does not take it: get a new one next time."""
        with self._lock:
            self._token = ""

    def _new(self) -> tuple[str, float]:
        """A token, and for how many seconds it is valid."""
        settings = self._settings
        secrets = {}
        if settings.client_secret_file is not None:
            secrets["client_secret"] = read_secret(settings.client_secret_file)
        scope = settings.scope or None
        if settings.refresh_token_file is None:
            client: Any = BackendApplicationClient(settings.client_id)
            body = client.prepare_request_body(scope=scope, include_client_id=True, **secrets)
        else:
            given = read_secret(settings.refresh_token_file)
            secrets["refresh_token"] = self._replaced(given) or given
            client = WebApplicationClient(settings.client_id)
            body = client.prepare_refresh_body(scope=scope, client_id=settings.client_id, **secrets)
        for secret in secrets.values():
            self._secrets.add(secret)
        answer = self._ask(client, body)
        self._secrets.add(answer["access_token"])
        if settings.refresh_token_file is not None and answer.get("refresh_token", given) != given:
            self._keep(given, answer["refresh_token"])
        return answer["access_token"], min(float(answer.get("expires_in") or _USUAL_LIFE), _LONGEST_LIFE)

    def _ask(self, client: Any, body: str) -> Any:
        url = self._settings.token_url
        try:
            with pool(self._settings.certificate_authority) as connections:
                response = connections.request(
                    "POST",
                    url,
                    body=body,
                    headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                    redirect=False,
                    preload_content=False,
                )
                said = read(response, _MOST_ANSWER)
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise not_connected(url, error) from None  # whose request has the secrets
        if (busy := throttled(response, url)) is not None:
            raise busy
        try:
            answer = client.parse_request_body_response(said.decode("utf-8", "replace"))
            for token in (answer["access_token"], answer.get("refresh_token", "none")):
                if not (isinstance(token, str) and _TOKEN.fullmatch(token)):
                    raise ValueError("no token that can be sent")
        except (OAuth2Error, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            if isinstance(error, OAuth2Error) and not isinstance(error, MissingTokenError):
                words = self._secrets.words(_words(error))
            else:
                words = self._other_words(response, said)
            raise LostError(f"{url} gives no token ({response.status}): {words}", Trouble.TOKEN) from None
        return answer

    def _other_words(self, response: urllib3.BaseHTTPResponse, said: bytes) -> str:
        """What is known of an answer that is neither a token nor an error of RFC 6749, section 5.2."""
        if 200 <= response.status < 300:  # there may be a token in it
            kind = self._secrets.words(response.headers.get("Content-Type", "of no type"))
            return f"no token in its answer ({kind}); is token_url right?"
        if location := response.headers.get("Location"):
            return f"it refers to {self._secrets.words(location)}; is token_url right?"
        text = " ".join(_MARKUP.sub(" ", said[:_MOST_READ].decode("utf-8", "replace")).split())
        answer = f'It answers "{self._secrets.words(text)[:_MOST_SHOWN]}"' if text else "It gives no reason"
        return answer if response.status >= 500 else f"is token_url right, and the tenant in it? {answer}"

    def _replaced(self, given: str) -> str:
        """What the server has replaced the given refresh token with; empty if it has not."""
        try:
            kept = json.loads(self._kept.read_bytes())
            return str(kept["refresh_token"]) if kept["instead_of"] == _digest(given) else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _keep(self, given: str, replaced: str) -> None:
        self._kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._kept.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if os.geteuid() == 0:  # `mailposture check` by root: the collector must read it
                owner = self._kept.parent.stat()
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            json.dump({"instead_of": _digest(given), "refresh_token": replaced}, file)
        unfinished.replace(self._kept)


def tokens_of(settings: OAuth, mailbox: str, folder: Path, secrets: Secrets) -> Tokens:
    """For a mailbox of that name."""
    return Tokens(settings, kept=folder / f"{_digest(mailbox)[:16]}.token", secrets=secrets)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _words(error: OAuth2Error) -> str:
    return ": ".join(str(each) for each in (error.error, error.description) if each)
