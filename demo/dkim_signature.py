"""Signs mails with DKIM (RFC 6376), relaxed for header and body.

The demo signs two thousand mails at its start; dkimpy, which computes RSA in Python, would need a minute for that.
"""

import base64
import re
from hashlib import sha256

from demo.keys import SigningKey

_BLANKS = re.compile(rb"[ \t]+")


def signature_field(key: SigningKey, fields: list[tuple[str, str]], body: bytes, signed_names: tuple[str, ...]) -> str:
    """The value of the DKIM-Signature field for a mail whose header fields are given in order, each name once."""
    values = {name.lower(): value for name, value in fields}
    names = [name for name in signed_names if name.lower() in values]
    unsigned = (
        f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain}; s={key.selector};\r\n"
        f" h={':'.join(names)};\r\n"
        f" bh={base64.b64encode(sha256(_relaxed_body(body)).digest()).decode()};\r\n b="
    )
    signed = b"".join(_relaxed_field(name, values[name.lower()]) + b"\r\n" for name in names)
    octets = key.sign(signed + _relaxed_field("DKIM-Signature", unsigned))
    return unsigned + base64.b64encode(octets).decode()


def _relaxed_field(name: str, value: str) -> bytes:
    return f"{name.lower()}:{' '.join(value.split())}".encode()


def _relaxed_body(body: bytes) -> bytes:
    lines = [_BLANKS.sub(b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    text = b"\r\n".join(lines).rstrip(b"\r\n")
    return text + b"\r\n" if text else b""
