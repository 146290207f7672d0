"""A token endpoint (RFC 6749) that takes exactly what the specification allows, and what Dovecot asks (RFC 7662)."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from sources_mail.web_server import Answer, Request, serving_https

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pki import CertificateAuthority

CLIENT, SECRET = "client-1", "s3cret/of+the=client"
SCOPE = "https://mail.example/.default"
_NO_STORE = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}


class Identity:
    """State and behaviour, for one account."""

    def __init__(self, authority: CertificateAuthority, user: str = "reports") -> None:
        self.authority = authority
        self.user = user
        self.client, self.scope = CLIENT, SCOPE
        self.life: int | None = 3600  # seconds
        self.refresh_token = ""  # the one that is valid; empty: only the application's own credentials are
        self.rotates = False
        self.revoked = False
        self.busy: list[dict[str, str]] = []  # answers 429 with these headers first
        self.issued: list[str] = []
        self.valid: set[str] = set()  # access tokens
        self.requests: list[dict[str, str]] = []
        self.echoes = False  # a careless server, which repeats what it was sent
        self.port = 0

    @contextmanager
    def serving(self) -> Iterator[Identity]:
        with serving_https(self.authority, self.answer) as self.port:
            yield self

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/tenant/oauth2/v2.0/token"

    def settings(self, folder: Path, **more: Any) -> dict[str, Any]:
        """The section `oauth` of a configuration."""
        (folder / "client-secret").write_text(f"{SECRET}\n")
        found: dict[str, Any] = {
            "token_url": self.url,
            "client_id": CLIENT,
            "client_secret_file": folder / "client-secret",
            "scope": SCOPE,
            "certificate_authority": self.authority.certificate,
        }
        if self.refresh_token:
            (folder / "refresh-token").write_text(f"{self.refresh_token}\n")
            found["refresh_token_file"] = folder / "refresh-token"
        return {**found, **more}

    def answer(self, request: Request) -> Answer:
        if (request.method, request.path) != ("POST", "/tenant/oauth2/v2.0/token"):
            return Answer(404)
        if request.headers["Content-Type"] != "application/x-www-form-urlencoded":
            return self._error("invalid_request", "not a form")
        pairs = parse_qsl(request.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        asked = dict(pairs)
        self.requests.append(dict(asked))
        if len(asked) != len(pairs):
            return self._error("invalid_request", "a parameter is given twice")
        if self.busy:
            return Answer(429, b"{}", self.busy.pop(0))
        return self._client_fault(asked) or self._grant_fault(asked) or self._token()

    def _client_fault(self, asked: dict[str, str]) -> Answer | None:
        if asked.pop("client_id", "") != self.client or asked.pop("client_secret", "") != SECRET:
            return self._error("invalid_client", self._said("AADSTS7000215: Invalid client secret provided."), 401)
        return None

    def _grant_fault(self, asked: dict[str, str]) -> Answer | None:
        grant = asked.pop("grant_type", "")
        if asked.pop("scope", "") != self.scope:
            return self._error("invalid_scope", "another scope")
        if grant == "refresh_token" and self.refresh_token:
            if asked.pop("refresh_token", "") != self.refresh_token or self.revoked:
                return self._error("invalid_grant", self._said("AADSTS700082: The refresh token has expired."))
        elif grant != "client_credentials" or self.refresh_token or self.revoked:
            return self._error("unauthorized_client", f"AADSTS700016: not for {grant}")
        return self._error("invalid_request", f"unknown: {sorted(asked)}") if asked else None

    def _token(self) -> Answer:
        token = secrets.token_urlsafe(1500)  # as long as those of Microsoft
        self.issued.append(token)
        self.valid.add(token)
        answer: dict[str, Any] = {"token_type": "Bearer", "access_token": token}
        if self.life is not None:
            answer["expires_in"] = self.life
        if self.rotates:
            answer["refresh_token"] = self.refresh_token = secrets.token_urlsafe(100)
        return Answer(200, json.dumps(answer).encode(), _NO_STORE)

    def _said(self, words: str) -> str:
        return f"{words} You sent {self.requests[-1]}" if self.echoes else words

    @staticmethod
    def _error(error: str, description: str, status: int = 400) -> Answer:
        return Answer(status, json.dumps({"error": error, "error_description": description}).encode(), _NO_STORE)

    def introspect(self, request: Request) -> Answer:
        """RFC 7662, section 2, for a mail server that has a token."""
        token = dict(parse_qsl(request.body.decode())).get("token", "")
        active = token in self.valid
        return Answer(
            200, json.dumps({"active": active, "username": self.user} if active else {"active": False}).encode()
        )
