"""Connects to an IMAP server and logs in; never with a password that others can read, unless that is configured."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from imapclient.exceptions import IMAPClientError, LoginError  # type: ignore[import-untyped]

from collector.sources.mailbox.bounded import Allowance
from collector.sources.mailbox.connecting import context_for, not_connected
from collector.sources.mailbox.imap_client import BoundedClient
from collector.sources.mailbox.mailbox import LostError, Trouble
from collector.sources.mailbox.secret_files import read_secret
from collector.sources.mailbox.words import shown

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from collector.sources.mailbox.oauth import Tokens
    from collector.sources.mailbox.words import Secrets
    from mailposture.config.mailboxes import ImapMailbox as Settings


@contextmanager
def logged_in(
    settings: Settings, tokens: Tokens | None, secrets: Secrets, *, clock: Callable[[], float]
) -> Iterator[BoundedClient]:
    """A client after login. Raises LostError, and OSError once it is connected."""
    token = tokens.token() if tokens is not None else ""
    context = context_for(settings.certificate_authority) if settings.tls else None
    server = f"{settings.host}, port {settings.port}"
    try:
        client = BoundedClient(
            settings.host,
            settings.port,
            context=context if settings.tls is True else None,
            allowance=Allowance(server, clock=clock),
        )
    except OSError as error:
        raise not_connected(server, error) from error
    with client:
        if settings.tls == "starttls":
            _start_tls(client, context, server)
        if tokens is not None:
            _log_in_with_token(client, settings.user, token, tokens, secrets)
        elif settings.password_file is not None:
            _log_in_with_password(client, settings.user, settings.password_file, secrets)
        yield client


def _start_tls(client: BoundedClient, context: ssl.SSLContext | None, server: str) -> None:
    try:
        client.starttls(ssl_context=context)
    except IMAPClientError as error:
        raise LostError(f"STARTTLS: {shown(str(error))}; no password was sent", Trouble.CERTIFICATE) from error
    except OSError as error:
        raise not_connected(server, error) from error


def _log_in_with_password(client: BoundedClient, user: str, password_file: Path, secrets: Secrets) -> None:
    """By AUTHENTICATE PLAIN, which is UTF-8 (RFC 4616, section 2); LOGIN takes ASCII only (RFC 3501, section 9)."""
    secrets.add(password := read_secret(password_file))
    try:
        if client.has_capability("AUTH=PLAIN") or not (user + password).isascii():
            client.plain_login(user, password)
        else:
            client.login(user, password)
    except LoginError as error:
        raise _refused(user, secrets.words(error)) from None


def _refused(user: str, words: str) -> LostError:
    return LostError(f"login as {user} is refused: {words}", Trouble.LOGIN)


def _log_in_with_token(client: BoundedClient, user: str, token: str, tokens: Tokens, secrets: Secrets) -> None:
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
        raise _refused(f"{user} by XOAUTH2", secrets.words(said)) from None
