"""A mail as DKIM sees it: header fields and body, and their canonical forms (RFC 6376, section 3.4).

Strict on purpose. Whoever finds reports in the mail must see the same fields and the same body as the signer did:
bare CRs, lines of blanks inside a field and malformed field names are read differently by different parsers, so a
mail that has them proves nothing (RFC 6376, section 8).
"""

import re
from dataclasses import dataclass, field
from hashlib import sha256

LONGEST_HEADER = 256 * 1024  # bytes; real reports have 2-8 KiB
# One field: a printable name, then lines that are not blank. Only one way to match anything, so time is linear whatever
# comes, without possessive quantifiers: around groups they are broken before Python 3.11.5 (CPython gh-106052).
FIELD = re.compile(rb"([!-9;-~]+):([^\r\n\0\v\f]*(?:\r\n[ \t]+[^ \t\r\n\0\v\f][^\r\n\0\v\f]*)*)\r\n")
# Fields that decide who speaks and what the body means: one that was added twice is one that nobody signed.
SINGLE_FIELDS = (b"from", b"mime-version", b"content-type", b"content-transfer-encoding")


class UnreadableError(Exception):
    """A mail of which no signature can be checked; the message is the reason."""


@dataclass(slots=True)
class Mail:
    """Header fields by lower-case name, each with its spellings `(name, raw value)` from top to bottom; the body."""

    fields: dict[bytes, list[tuple[bytes, bytes]]]
    body: bytes
    _bodies: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)  # canonical and its hash, by form

    def values(self, name: bytes) -> list[bytes]:
        """The raw values of a field, from top to bottom."""
        return [value for _, value in self.fields.get(name, ())]

    def canonical_body(self, form: bytes) -> bytes:
        """The body as this form has it: what a signature that fits covers, and nothing else."""
        return self._canonical(form)[0]

    def body_hash(self, form: bytes) -> bytes:
        """SHA-256 of the canonical body; computed once per form, so that many signatures cost no more than two."""
        return self._canonical(form)[1]

    def _canonical(self, form: bytes) -> tuple[bytes, bytes]:
        if form not in self._bodies:
            body = BODY_FORMS[form](self.body)
            self._bodies[form] = body, sha256(body).digest()
        return self._bodies[form]


def read(message: bytes) -> Mail:
    """Split a mail into fields and body; raises UnreadableError. Bare LF counts as CRLF, as in a file."""
    if message.count(b"\n") != message.count(b"\r\n"):
        message = re.sub(rb"(?<!\r)\n", b"\r\n", message)
    end = message.find(b"\r\n\r\n") + 2
    if end == 1:
        message, end = message + b"\r\n", len(message) + 2
    if end > LONGEST_HEADER:
        raise UnreadableError(f"the mail's header is longer than {LONGEST_HEADER // 1024} KiB")
    start = message.find(b"\r\n") + 2 if message.startswith(b"From ") else 0  # the separator line of an mbox
    fields: dict[bytes, list[tuple[bytes, bytes]]] = {}
    while start < end:
        spelling = FIELD.match(message, start, end)
        if spelling is None:
            line = message.count(b"\r\n", 0, start) + 1
            raise UnreadableError(f"line {line} of the mail's header is malformed")
        name, value = spelling.groups()
        fields.setdefault(name.lower(), []).append((name, value))
        start = spelling.end()
    for name in SINGLE_FIELDS:
        if len(fields.get(name, ())) > 1:
            raise UnreadableError(f"the mail has {len(fields[name])} {name.decode().title()} fields")
    return Mail(fields, message[end + 2 :])


def simple_field(name: bytes, value: bytes) -> bytes:
    """Unchanged (section 3.4.1)."""
    return b"%b:%b" % (name, value)


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """Unfolded, runs of blanks as one space, none at the ends (section 3.4.2)."""
    return b"%b:%b" % (name.lower(), b" ".join(value.split()))


def simple_body(body: bytes) -> bytes:
    """Without empty lines at the end, but with one CRLF (section 3.4.3)."""
    return _without_empty_lines_at_end(body) + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """Runs of blanks as one space, none at the end of a line, no empty lines at the end (section 3.4.4)."""
    body = body.replace(b"\t", b" ")
    while b"  " in body:  # halves every run, and is several times faster than a pattern
        body = body.replace(b"  ", b" ")
    body = _without_empty_lines_at_end((body + b"\r\n").replace(b" \r\n", b"\r\n"))
    return body + b"\r\n" if body else b""


def _without_empty_lines_at_end(body: bytes) -> bytes:
    """Drop all CRLF pairs at the end; a bare CR there is content. Linear also for megabytes of them."""
    text = len(body.rstrip(b"\r\n"))
    if body.endswith(b"\r"):
        return body
    bare = body.rfind(b"\r\r", text)
    return body[: bare + 1] if bare >= 0 else body[:text]


FIELD_FORMS = {b"simple": simple_field, b"relaxed": relaxed_field}
BODY_FORMS = {b"simple": simple_body, b"relaxed": relaxed_body}
