"""DKIM keys as verifiers read their records in DNS (RFC 6376, section 3.6.1)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALLEST_RSA = 1024  # bits (RFC 8301, section 3.2)
LARGEST_RSA = 4096  # verifiers must know up to this; larger ones would let anybody choose how long we compute
LARGEST_EXPONENT = 2**32
LONGEST_RECORD = 8192  # bytes; an RSA key of 4096 bits needs 800

Tags: TypeAlias = "Mapping[bytes, bytes]"


class KeyTooShortError(ValueError):
    """An RSA key that verifiers refuse for its size."""


def key_name(selector: str, domain: str) -> str:
    """Where the TXT record lives."""
    return f"{selector}._domainkey.{domain}"


def read_tags(record: bytes) -> Tags:
    """The tags of a key record. Raises ValueError if it is none; the reason follows "the signature of example.net"."""
    if len(record) > LONGEST_RECORD:
        raise ValueError("has a key record that is too long")
    tag: dict[bytes, bytes] = {}
    for spec in record.split(b";"):
        name, _, value = spec.partition(b"=")
        tag.setdefault(name.strip(), value.strip())
    if tag.get(b"v", b"DKIM1") != b"DKIM1" or b"p" not in tag:
        raise ValueError("has no key: its record is no DKIM key")
    return tag


def is_revoked(tag: Tags) -> bool:
    """Whether the key was withdrawn: an empty `p`."""
    return not tag[b"p"]


def is_in_test(tag: Tags) -> bool:
    """Whether verifiers are to treat what it signs as unsigned (`t=y`)."""
    return b"y" in listed(tag, b"t", b"")


def listed(tag: Tags, name: bytes, default: bytes) -> list[bytes]:
    """The words of a tag that are separated by colons, in lower case."""
    return [word.strip().lower() for word in tag.get(name, default).split(b":")]


def public_key(tag: Tags) -> tuple[str, RSAPublicKey | Ed25519PublicKey]:
    """Algorithm and key; raises ValueError with the reason, which follows "the signature of example.net"."""
    try:
        octets = base64.b64decode(b"".join(tag[b"p"].split()), validate=True)
    except binascii.Error:
        raise ValueError("has a key that is not base64") from None
    algorithm = tag.get(b"k", b"rsa").decode("ascii", "replace").lower()
    if algorithm == "rsa":
        return algorithm, _rsa(octets)
    if algorithm != "ed25519":
        raise ValueError(f"has a key of the unknown type {shown(tag[b'k'])}")
    if len(octets) != 32:
        raise ValueError(f"has an Ed25519 key of {len(octets)} bytes instead of 32")
    return algorithm, Ed25519PublicKey.from_public_bytes(octets)


def _rsa(octets: bytes) -> RSAPublicKey:
    try:
        key = load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("has an RSA key that cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise ValueError("has a key that says RSA and is not")
    if not SMALLEST_RSA <= key.key_size <= LARGEST_RSA:
        error = KeyTooShortError if key.key_size < SMALLEST_RSA else ValueError
        raise error(f"has an RSA key of {key.key_size} bits; {SMALLEST_RSA} to {LARGEST_RSA} are accepted")
    if key.public_numbers().e > LARGEST_EXPONENT:
        raise ValueError("has an RSA key with an exponent that is too large")
    return key


def shown(text: bytes) -> str:
    """Untrusted bytes in a message: short and printable."""
    return repr(text[:40].decode("ascii", "replace"))
