"""A private certificate authority for tests: right certificates, and each single wrong one."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_numbers = count(1)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """PEM files of a certificate (with its issuer, as servers send it) and its key."""

    certificate: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """A context for a test server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, kw_only=True)
class CertificateAuthority:
    """Issues certificates into its folder; `certificate` is the root for clients to trust."""

    folder: Path
    certificate: Path
    _root: x509.Certificate
    _key: ec.EllipticCurvePrivateKey

    def issue(
        self,
        names: Sequence[str],
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        into: Issued | None = None,
        alternative_names: Sequence[str] | None = None,
        rsa_key: bool = False,
    ) -> Issued:
        """A certificate for DNS names and IP addresses; `into` overwrites an earlier one's files, as a renewal does.

        The first name is also the common name. `alternative_names`: those of the extension, if they are to differ.
        """
        extension = x509.SubjectAlternativeName(
            [_general_name(name) for name in (names if alternative_names is None else alternative_names)]
        )
        key = rsa.generate_private_key(65_537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(names[0], self._root.subject, key, not_before, not_after)
            .add_extension(extension, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        number = next(_numbers)
        issued = into or Issued(certificate=self.folder / f"{number}.pem", key=self.folder / f"{number}.key")
        _write(issued, [certificate, self._root], key)
        return issued

    def client_context(self) -> ssl.SSLContext:
        """A context for a client that trusts this authority only."""
        return ssl.create_default_context(cafile=str(self.certificate))


def make_ca(folder: Path) -> CertificateAuthority:
    """A new authority that keeps its files in a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    number = next(_numbers)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mailposture test root {number}")])
    root = (
        _builder(name, name, key, None, None)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_ca_key_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"root-{number}.pem"
    path.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    return CertificateAuthority(folder=folder, certificate=path, _root=root, _key=key)


def self_signed(folder: Path, names: Sequence[str]) -> Issued:
    """A self-signed certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    certificate = (
        _builder(name, name, key, None, None)
        .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    number = next(_numbers)
    issued = Issued(certificate=folder / f"{number}.pem", key=folder / f"{number}.key")
    _write(issued, [certificate], key)
    return issued


def _builder(
    subject: str | x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    not_before: datetime | None,
    not_after: datetime | None,
) -> x509.CertificateBuilder:
    if isinstance(subject, str):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject[:64])])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now - timedelta(days=365))
        .not_valid_after(not_after or now + timedelta(days=90))
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _ca_key_usage() -> x509.KeyUsage:
    unused = {
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "encipher_only": False,
        "decipher_only": False,
    }
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **unused)


def _write(
    issued: Issued, chain: Sequence[x509.Certificate], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    pem = serialization.Encoding.PEM
    issued.certificate.write_bytes(b"".join(one.public_bytes(pem) for one in chain))
    issued.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
