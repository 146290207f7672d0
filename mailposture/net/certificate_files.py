"""A listener's certificate and key in PEM files that something else renews: read again when they change."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config.model import TlsFiles


class CertificateError(ProblemError):
    """A certificate cannot be used; the message names the files and the reason."""


class CertificateFiles:
    """One certificate with its key. Files that break while we run leave in use what was last read."""

    def __init__(self, files: TlsFiles) -> None:
        """Nothing is read before `follow()`."""
        self.files = files
        self.context: ssl.SSLContext | None = None  # for handshakes that begin now
        self._version: tuple[object, ...] | None = None

    def follow(self) -> bool:
        """Read the files if they have changed since the last look; returns whether there is a new context.

        Raises CertificateError if the changed files cannot be used: once, until they change again.
        """
        version = _version_of(self.files.certificate), _version_of(self.files.key)
        if version == self._version:
            return False
        self._version = version
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325, section 3.1.1; RFC 8461, section 3.3
        try:
            # Without a password function OpenSSL would ask on the terminal, and a service would hang.
            context.load_cert_chain(self.files.certificate, self.files.key, password=_no_password)
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            raise CertificateError(f"{self.files.certificate} and {self.files.key}: {error}") from error
        self.context = context
        return True


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password")


def _version_of(path: Path) -> tuple[object, ...]:
    """What changes when a file is written, replaced or made readable; a renewal's symbolic link is followed."""
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno,)
    return status.st_ctime_ns, status.st_size, status.st_ino
