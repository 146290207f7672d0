"""Certificates chosen by the name that the client asks for (SNI), and read again when their files change.

A policy host's certificate must be valid for `mta-sts.<domain>` itself (RFC 8461, section 3.3); one file may hold many
names, and several files together cover all domains. Clients that send no name get the first file's certificate.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from cryptography import x509

from mailposture.domain_names import matches, normalize, normalize_pattern
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from mailposture.config import TlsFiles

log = structlog.get_logger()


class CertificateError(ProblemError):
    """No certificate can be used; the message names the files and the reasons."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate and its key, ready for handshakes."""

    names: tuple[str, ...]  # of the subject alternative name, normalized
    not_after: datetime
    context: ssl.SSLContext


def load_certificate(files: TlsFiles) -> Certificate:
    """Read a PEM chain and its key; OSError or ValueError (ssl.SSLError is an OSError) if they cannot be used."""
    leaf = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8461, section 3.3 by way of RFC 9325
    # Without a password function OpenSSL would ask on the terminal, and a service would hang.
    context.load_cert_chain(files.certificate, files.key, password=_no_password)
    try:
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(filter(None, map(normalize_pattern, san.get_values_for_type(x509.DNSName))))
    except x509.ExtensionNotFound:
        names = ()
    return Certificate(names=names, not_after=leaf.not_valid_after_utc, context=context)


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it without a password")


class Certificates:
    """All certificates of the policy host. Files that break while we run leave the certificate last read in use."""

    def __init__(self, *, files: Sequence[TlsFiles]) -> None:
        """Raise CertificateError if not one certificate can be read; log those that cannot."""
        self._loaded: dict[TlsFiles, Certificate] = {}
        self._seen: dict[TlsFiles, tuple[object, ...]] = {}
        self._files: tuple[TlsFiles, ...] = ()
        problems = self.use(files)
        if not self._loaded:
            raise CertificateError("policy_host.tls: no certificate can be read:\n" + "\n".join(problems))
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.server_context.sni_callback = self._choose

    def use(self, files: Sequence[TlsFiles]) -> list[str]:
        """Serve these files from now on; returns what could not be read."""
        self._files = tuple(files)
        for gone in self._loaded.keys() - set(files):
            del self._loaded[gone]
        return self.reload_changed()

    def reload_changed(self) -> list[str]:
        """Read the files that changed since they were last read; returns what could not be read."""
        problems: list[str] = []
        for files in self._files:
            stamp = _stamp(files.certificate) + _stamp(files.key)
            if self._seen.get(files) == stamp:
                continue
            self._seen[files] = stamp
            try:
                self._loaded[files] = load_certificate(files)
            except (OSError, ValueError) as error:
                problems.append(f"{files.certificate} with {files.key}: {error}")
                log.error("certificate not read", certificate=str(files.certificate), reason=str(error))
            else:
                loaded = self._loaded[files]
                log.info("certificate read", names=loaded.names, not_after=loaded.not_after.isoformat())
        return problems

    def for_host(self, host: str) -> Certificate | None:
        """The certificate valid for a host, the one that lasts longest; a wildcard covers one label (RFC 8461, 3.3)."""
        fitting = [one for one in self._loaded.values() if any(matches(host, name) for name in one.names)]
        return max(fitting, key=lambda one: one.not_after, default=None)

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        """Give a handshake its certificate; also called, with no name, for clients without SNI."""
        host = normalize(name) if name else None
        certificate = self.for_host(host) if host else None
        if certificate is None:
            certificate = next(self._loaded[files] for files in self._files if files in self._loaded)
        connection.context = certificate.context


def _stamp(path: Path) -> tuple[object, ...]:
    """What changes when a file is written or replaced; a renewal's symbolic link is followed."""
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno,)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
