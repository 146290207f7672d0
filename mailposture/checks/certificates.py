"""Why a certificate is refused, in terms bounded enough for a label and sentences clear enough for people."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from cryptography import x509

from mailposture.domain_names import normalize_pattern

if TYPE_CHECKING:
    from datetime import datetime

# OpenSSL's X509_V_ERR_* numbers.
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN = 18, 19
_UNTRUSTED = (2, 20, 21)
_NAME_MISMATCH = 62

_REASONS = {
    _NOT_YET_VALID: "certificate-not-yet-valid",
    _EXPIRED: "certificate-expired",
    _SELF_SIGNED: "certificate-self-signed",
    _SELF_SIGNED_IN_CHAIN: "certificate-untrusted",
    **dict.fromkeys(_UNTRUSTED, "certificate-untrusted"),
    _NAME_MISMATCH: "certificate-host-mismatch",
}


def refusal(error: ssl.SSLCertVerificationError) -> str:
    """The reason term for a failed verification."""
    return _REASONS.get(error.verify_code, "certificate-invalid")


def names_of(certificate: bytes) -> tuple[str, ...]:
    """The DNS names that a (DER) certificate is for: of the subject alternative name only (RFC 8461, section 4.1)."""
    try:
        extensions = x509.load_der_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return ()
    return tuple(filter(None, map(normalize_pattern, names.get_values_for_type(x509.DNSName))))


def expiry_of(certificate: bytes) -> datetime | None:
    """When a (DER) certificate expires; None if it cannot be read."""
    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except ValueError:
        return None


def chain_of(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """All (DER) certificates that the server sent, its own first, whether they verify or not."""
    # Public only from Python 3.13 on; the method itself is there since 3.10.
    inner = connection if hasattr(connection, "get_unverified_chain") else connection._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(
        one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes())
        for one in inner.get_unverified_chain() or ()
    )
