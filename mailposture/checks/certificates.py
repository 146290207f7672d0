"""Why a certificate is refused, in terms bounded enough for a label and sentences clear enough to act on."""

from __future__ import annotations

import ssl
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailposture.checks.reason import Reason
from mailposture.domain_names import normalize_pattern

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_Part = TypeVar("_Part")

# OpenSSL's X509_V_ERR_* numbers.
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN = 18, 19
_UNTRUSTED = (2, 20, 21)
_NAME_MISMATCH = 62

_REASONS = {
    _NOT_YET_VALID: Reason.CERTIFICATE_NOT_YET_VALID,
    _EXPIRED: Reason.CERTIFICATE_EXPIRED,
    _SELF_SIGNED: Reason.CERTIFICATE_SELF_SIGNED,
    _SELF_SIGNED_IN_CHAIN: Reason.CERTIFICATE_UNTRUSTED,
    **dict.fromkeys(_UNTRUSTED, Reason.CERTIFICATE_UNTRUSTED),
    _NAME_MISMATCH: Reason.CERTIFICATE_HOST_MISMATCH,
}


def refusal(error: ssl.SSLCertVerificationError) -> Reason:
    """The reason for a failed verification."""
    return _REASONS.get(error.verify_code, Reason.CERTIFICATE_INVALID)


def names_of(certificate: bytes) -> tuple[str, ...]:
    """The DNS names that a (DER) certificate is for: of the subject alternative name only (RFC 8461, section 4.1)."""

    def names(read: x509.Certificate) -> list[str]:
        return read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )

    return tuple(filter(None, map(normalize_pattern, _read(certificate, names) or ())))


class KeyKind(StrEnum):
    """What a certificate's key is of; a server may have one certificate of each, and shows what a client can use."""

    RSA = "RSA"
    ECDSA = "ECDSA"

    @property
    def other(self) -> KeyKind:
        return KeyKind.ECDSA if self is KeyKind.RSA else KeyKind.RSA


def kind_of_key(certificate: bytes) -> KeyKind | None:
    """What the key of a (DER) certificate is of; None if it is of another kind, or cannot be read."""
    key = _read(certificate, lambda read: read.public_key())
    if isinstance(key, rsa.RSAPublicKey):
        return KeyKind.RSA
    return KeyKind.ECDSA if isinstance(key, ec.EllipticCurvePublicKey) else None


def restrict(context: ssl.SSLContext, kind: KeyKind) -> None:
    """Let a client take no certificate but one with such a key: in TLS 1.2 ciphers say so, in 1.3 nothing does."""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"a{kind}")


def expiry_of(certificate: bytes) -> datetime | None:
    """When a (DER) certificate expires; None if it cannot be read."""
    return _read(certificate, lambda read: read.not_valid_after_utc)


def key_of(certificate: bytes) -> bytes | None:
    """The public key of a (DER) certificate as SubjectPublicKeyInfo (DER); None if it cannot be read."""
    return _read(
        certificate, lambda read: read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def _read(certificate: bytes, part: Callable[[x509.Certificate], _Part]) -> _Part | None:
    """A part of a (DER) certificate that a server showed, which may be made to hurt; None if it cannot be read.

    Besides ValueError, cryptography has an exception of its own for each way in which one may be odd: unknown versions,
    algorithms, curves, kinds of names, extensions that are there twice.
    """
    try:
        return part(x509.load_der_x509_certificate(certificate))
    except Exception:
        return None


def chain_of(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """All (DER) certificates that the server sent, its own first, whether they verify or not."""
    # Public only from Python 3.13 on; the method itself is there since 3.10.
    inner = connection if hasattr(connection, "get_unverified_chain") else connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(
        one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes())
        for one in inner.get_unverified_chain() or ()
    )
