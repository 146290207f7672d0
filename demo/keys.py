"""The DKIM keys of the demo's senders (RFC 6376), made at first start: nobody else can sign as they do.

Large senders use RSA, small ones Ed25519 (RFC 8463), so that both kinds are seen.
"""

import base64
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from demo.senders import SENDERS, Sender, Style

_SMALL_SHARE = 0.01  # senders below this share of the mail use Ed25519


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A sender's private key and the DNS record that proves its signatures."""

    domain: str
    selector: str
    services: str  # the record's s= tag: senders of Postfix's reporter restrict theirs to tlsrpt, others do not
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The a= tag of signatures."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    @property
    def record_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def record(self) -> str:
        """The TXT record (RFC 6376, section 3.6.1; RFC 8460, section 3 for s=tlsrpt)."""
        public = self.private.public_key()
        if isinstance(self.private, RSAPrivateKey):
            kind, octets = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        else:
            kind, octets = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        services = f" s={self.services};" if self.services else ""
        return f"v=DKIM1; k={kind};{services} p={base64.b64encode(octets).decode()}"

    def sign(self, signed: bytes) -> bytes:
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(signed, padding.PKCS1v15(), SHA256())
        return self.private.sign(sha256(signed).digest())  # RFC 8463, section 3: Ed25519 signs the hash


def load_or_generate(folder: Path) -> dict[str, SigningKey]:
    """The key of every demo sender by its domain, from PEM files in the folder; missing ones are made."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {sender.domain: _signing_key(sender, folder / f"{sender.domain}.pem") for sender in SENDERS}


def public_records(keys: dict[str, SigningKey]) -> dict[str, str]:
    """What DNS would say: name to TXT record of every demo sender's key."""
    return {key.record_name: key.record for key in keys.values()}


def _signing_key(sender: Sender, path: Path) -> SigningKey:
    if not path.exists():
        small = sender.share < _SMALL_SHARE
        made = Ed25519PrivateKey.generate() if small else generate_private_key(public_exponent=65537, key_size=2048)
        unfinished = path.with_suffix(".new")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        unfinished.replace(path)
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, RSAPrivateKey | Ed25519PrivateKey):
        raise TypeError(f"{path}: is neither an RSA nor an Ed25519 key; delete it, and the demo makes a new one")
    return SigningKey(
        domain=sender.domain,
        selector="tlsrpt" if sender.style is Style.REPORTER else "demo",
        services="tlsrpt" if sender.style is Style.REPORTER else "",
        private=private,
    )
