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
from cryptography.hazmat.primitives.serialization import Encoding

from mailposture.checks.certificates import names_of
from mailposture.domain_names import normalize
from mailposture.net.certificate_files import CertificateError, CertificateFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from mailposture.config.model import TlsFiles

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate and its key, ready for handshakes."""

    names: tuple[str, ...]  # of the subject alternative name, normalized
    not_after: datetime
    context: ssl.SSLContext


class Certificates:
    """All certificates of the policy host. Files that break while we run leave the certificate last read in use."""

    def __init__(self, *, files: Sequence[TlsFiles]) -> None:
        """Raise CertificateError if not one certificate can be read; log those that cannot."""
        self._sources: Mapping[TlsFiles, _Source] = {}
        self._by_name: Mapping[str, Certificate] = {}
        self.use(files)
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server_context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.server_context.sni_callback = self._choose

    def use(self, files: Sequence[TlsFiles]) -> None:
        """Serve these files from now on; raise CertificateError, and change nothing, if not one of them can be read."""
        sources = {one: self._sources.get(one) or _Source(one) for one in files}
        problems = _follow(sources.values())
        if not any(source.certificate for source in sources.values()):
            raise CertificateError("policy_host.tls: no certificate can be read:\n" + "\n".join(problems))
        self._sources = sources
        self._by_name = _longest_lasting(self._usable())

    def reload_changed(self) -> list[str]:
        """Read the files that changed since they were last read; returns what could not be read."""
        problems = _follow(self._sources.values())
        self._by_name = _longest_lasting(self._usable())
        return problems

    def for_host(self, host: str) -> Certificate | None:
        """The certificate valid for a host, the one that lasts longest; a wildcard covers one label (RFC 8461, 3.3)."""
        fitting = (self._by_name.get(name) for name in (host, f"*.{host.partition('.')[2]}"))
        return max(filter(None, fitting), key=lambda one: one.not_after, default=None)

    def _usable(self) -> list[Certificate]:
        return [source.certificate for source in self._sources.values() if source.certificate]

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        """Give a handshake its certificate; also called, with no name, for clients without SNI."""
        host = normalize(name) if name else None
        connection.context = ((self.for_host(host) if host else None) or self._usable()[0]).context


class _Source:
    """Files, and the certificate last read from them; None as long as none could be."""

    def __init__(self, files: TlsFiles) -> None:
        self.certificate: Certificate | None = None
        self._files = CertificateFiles(files)

    def follow(self) -> None:
        """Take the files over if they changed; raises CertificateError."""
        if not self._files.follow():
            return
        assert self._files.context is not None  # noqa: S101  follow() has said so
        path = self._files.files.certificate
        try:
            leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise CertificateError(f"{path}: {error}") from error
        self.certificate = Certificate(
            names=names_of(leaf.public_bytes(Encoding.DER)),
            not_after=leaf.not_valid_after_utc,
            context=self._files.context,
        )
        log.info("certificate loaded", names=self.certificate.names, not_after=leaf.not_valid_after_utc.isoformat())


def _follow(sources: Iterable[_Source]) -> list[str]:
    problems: list[str] = []
    for source in sources:
        try:
            source.follow()
        except CertificateError as error:
            problems.append(str(error))
            log.error("certificate not loaded", reason=str(error))
    return problems


def _longest_lasting(certificates: Iterable[Certificate]) -> dict[str, Certificate]:
    """For each name the certificate to show."""
    return {name: one for one in sorted(certificates, key=lambda one: one.not_after) for name in one.names}
