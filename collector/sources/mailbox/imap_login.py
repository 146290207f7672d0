"""Connects to an IMAP server and logs in; never with a password that others can read, unless that is configured."""

from __future__ import annotations

from base64 import b64encode
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from imapclient import IMAPClient, SocketTimeout  # type: ignore[import-untyped]
from imapclient.exceptions import IMAPClientError, LoginError  # type: ignore[import-untyped]

from collector.sources.mailbox.connecting import context_for, not_connected
from collector.sources.mailbox.mailbox import LostError, Trouble
from collector.sources.mailbox.secret_files import read_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.sources.mailbox.oauth import Tokens
    from mailposture.config.mailboxes import ImapMailbox as Settings

_NETWORK: Final = SocketTimeout(connect=30, read=60)  # seconds


@contextmanager
def logged_in(settings: Settings, tokens: Tokens | None) -> Iterator[Any]:
    """An IMAPClient after login. Raises LostError, and OSError once it is connected."""
    token = tokens.token() if tokens is not None else ""
    context = context_for(settings.certificate_authority) if settings.tls else None
    implicit = settings.tls is True
    server = f"{settings.host}, port {settings.port}"
    try:
        client = IMAPClient(
            settings.host,
            port=settings.port,
            ssl=implicit,
            ssl_context=context if implicit else None,
            timeout=_NETWORK,
        )
    except OSError as error:
        raise not_connected(server, error) from error
    with client:
        client.normalise_times = False  # or it turns times into those of our zone, and leaves the zone out
        if settings.tls == "starttls":
            _start_tls(client, context, server)
        if tokens is not None:
            _log_in_with_token(client, settings.user, token, tokens)
        elif settings.password_file is not None:
            _log_in_with_password(client, settings.user, settings.password_file)
        yield client


def _start_tls(client: Any, context: Any, server: str) -> None:
    try:
        client.starttls(ssl_context=context)
    except IMAPClientError as error:
        raise LostError(f"STARTTLS: {error}; no password was sent", Trouble.CERTIFICATE) from error
    except OSError as error:
        raise not_connected(server, error) from error


def _log_in_with_password(client: Any, user: str, password_file: Path) -> None:
    """By AUTHENTICATE PLAIN, which is UTF-8 (RFC 4616, section 2); LOGIN takes ASCII only (RFC 3501, section 9)."""
    password = read_secret(password_file)
    try:
        if client.has_capability("AUTH=PLAIN") or not (user + password).isascii():
            client.plain_login(user, password)
        else:
            client.login(user, password)
    except LoginError as error:
        raise _refused(user, password, str(error)) from None  # whose words may have the password


def _refused(user: str, secret: str, words: str) -> LostError:
    """What a server says of a login, without what it repeats of it: a secret may be in base64, or in quotes."""
    plain = b"\0%b\0%b" % (user.encode(), secret.encode())
    quoted = secret.replace("\\", "\\\\").replace('"', '\\"')
    for spelling in (b64encode(plain).decode(), repr(quoted.encode())[2:-1], quoted, secret):  # words may be a repr()
        words = words.replace(spelling, "[secret]")
    return LostError(f"login as {user} is refused: {words}", Trouble.LOGIN)


def _log_in_with_token(client: Any, user: str, token: str, tokens: Tokens) -> None:
    """By XOAUTH2, which both Google and Microsoft document. A refusal is a challenge first, whose answer is empty."""
    if not client.has_capability("AUTH=XOAUTH2"):
        raise LostError("the server does not offer AUTH=XOAUTH2", Trouble.LOGIN)
    challenges: list[bytes] = []

    def answer(challenge: bytes) -> bytes:
        challenges.append(challenge)
        return b"user=%b\x01auth=Bearer %b\x01\x01" % (user.encode(), token.encode()) if len(challenges) == 1 else b""

    try:
        client.sasl_login("XOAUTH2", answer)
    except LoginError as error:
        tokens.refused()
        said = " ".join([str(error), *(each.decode("utf-8", "replace") for each in challenges[1:])])
        raise _refused(f"{user} by XOAUTH2", token, said) from None
