"""Handing a mail to the mail server."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailposture.config.digest import DigestSmtp

_TIMEOUT: Final = 60.0  # seconds for one answer


class DeliveryError(ProblemError):
    """The mail server did not take a mail; the message names the server and its reason."""


@contextmanager
def connected(server: DigestSmtp) -> Iterator[smtplib.SMTP]:
    """A session, encrypted and authenticated as the configuration says. Raises DeliveryError."""
    try:
        with _session(server) as session:
            if server.tls == "starttls":
                session.starttls(context=_context(server))
            if server.password_file is not None:
                session.login(server.user, server.password_file.read_text(encoding="utf-8").strip())
            yield session
    except (OSError, smtplib.SMTPException) as error:  # also what TLS and the file of the password raise
        raise DeliveryError(
            f"{server.host}:{server.port} takes no digest: {_reason(error)}; see digest.smtp in the configuration"
        ) from error


def hand_over(session: smtplib.SMTP, mail: bytes, *, sender: str, recipient: str) -> None:
    """One transaction for one recipient, so that one who is refused keeps it from nobody. Raises DeliveryError.

    What breaks the session is raised by it, for there is no use in going on.
    """
    try:
        session.sendmail(sender, [recipient], mail)
    except smtplib.SMTPServerDisconnected:
        raise
    except smtplib.SMTPException as error:
        raise DeliveryError(f"{recipient} is refused: {_reason(error)}") from error


def _session(server: DigestSmtp) -> smtplib.SMTP:
    if server.tls is True:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=_TIMEOUT, context=_context(server))
    return smtplib.SMTP(server.host, server.port, timeout=_TIMEOUT)


def _context(server: DigestSmtp) -> ssl.SSLContext:
    authority = server.certificate_authority
    return ssl.create_default_context(cafile=str(authority) if authority else None)


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, answer = next(iter(error.recipients.values()))
        return f"{code} {answer.decode(errors='replace')}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        return f"{error.smtp_code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
    return f"{error.strerror or error}" if isinstance(error, OSError) else str(error)
