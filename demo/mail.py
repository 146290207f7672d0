"""The demo's mails: what becomes of each, and how they are made."""

import base64
from dataclasses import dataclass
from enum import StrEnum

from demo.dkim_signature import signature_field
from demo.keys import SigningKey

BOUNDARY = "=_demo_report"
SIGNED = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type")


class Fate(StrEnum):
    """What the collector makes of a mail."""

    STORED = "stored"
    DUPLICATE = "duplicate"  # stored before; counts once
    QUARANTINED = "quarantined"  # a report, but not authenticated
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMail:
    """A mail on its way."""

    mail_from: str
    recipient: str
    content: bytes
    fate: Fate
    note: str = ""  # what is odd about it


def multipart(text: str, media_type: str, name: str, attachment: bytes) -> bytes:
    """The body of a multipart mail: a text, and an attachment."""
    head = (
        f"--{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        f'--{BOUNDARY}\r\nContent-Type: {media_type}; name="{name}"\r\n'
        f'Content-Disposition: attachment; filename="{name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    )
    encoded = base64.encodebytes(attachment).strip().replace(b"\n", b"\r\n")
    return head.encode() + encoded + f"\r\n--{BOUNDARY}--\r\n".encode()


def signed_mail(
    fields: list[tuple[str, str]], body: bytes, key: SigningKey | None, signed_names: tuple[str, ...]
) -> bytes:
    if key is not None:
        fields = [("DKIM-Signature", signature_field(key, fields, body, signed_names)), *fields]
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode() + b"\r\n" + body
