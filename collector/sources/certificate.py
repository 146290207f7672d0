"""The certificate of a listener, renewed while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from mailposture.net.certificate_files import CertificateError, CertificateFiles
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    import ssl

    from mailposture.config.model import TlsFiles

_LOOK_AGAIN_SECONDS = 1.0
_log = structlog.get_logger()


class Certificate:
    """The TLS context of a listener, made from files."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises ProblemError when the files cannot be used."""
        self._files = CertificateFiles(files)
        self._looked_at = time.monotonic()
        try:
            self._files.follow()
        except CertificateError as error:
            raise ProblemError(f"{error}; fix smtp.tls or https.tls in the configuration") from error

    @property
    def context(self) -> ssl.SSLContext:
        """For a handshake that begins now."""
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_AGAIN_SECONDS:
            self._looked_at = now
            self._follow()
        assert self._files.context is not None  # noqa: S101  __init__ has read one, and none is ever taken away
        return self._files.context

    def _follow(self) -> None:
        try:
            renewed = self._files.follow()
        except CertificateError as error:
            # Most likely one of the two files is renewed and the other is about to be.
            _log.warning("certificate not reloaded", reason=str(error), until="the files change again")
        else:
            if renewed:
                _log.info("certificate reloaded", certificate=str(self._files.files.certificate))
