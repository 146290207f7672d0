"""A certificate that is renewed while we run: files are read again when they change."""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import structlog

from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config import TlsFiles

_LOOK_AGAIN_SECONDS = 1.0
_log = structlog.get_logger()


class Certificate:
    """The TLS context of a listener, made from files."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises ProblemError when the files cannot be used."""
        self._files = files
        self._looked_at = time.monotonic()
        self._version = self._version_of_files()
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError) as error:
            raise ProblemError(f"{self._complaint(error)}; mend smtp.tls or https.tls in the configuration") from error

    @property
    def context(self) -> ssl.SSLContext:
        """For a handshake that begins now."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            self._follow_files()
        return self._context

    def following_context(self) -> ssl.SSLContext:
        """A context for a listener that keeps one for good: each handshake takes the certificate of its moment."""
        context = self._load()

        def take_current(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            connection.context = self.context

        context.sni_callback = take_current  # called without a name too
        return context

    def _follow_files(self) -> None:
        version = self._version_of_files()
        if version == self._version:
            return
        self._version = version
        try:
            self._context = self._load()
        except (OSError, ssl.SSLError) as error:
            # Most likely one of the two files is renewed and the other is about to be.
            _log.warning("certificate not taken over", reason=self._complaint(error), until="the files change again")
        else:
            _log.info("certificate read again", certificate=str(self._files.certificate))

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._files.certificate, self._files.key, password=lambda: "")
        return context

    def _version_of_files(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_version_of(path) for path in (self._files.certificate, self._files.key))

    def _complaint(self, error: OSError | ssl.SSLError) -> str:
        return f"{self._files.certificate} and {self._files.key}: cannot be used for TLS ({error})"


def _version_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
