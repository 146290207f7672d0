"""A mail taken apart into what reports need: a few header fields, and the decoded bytes of each part.

For mail of which nothing is proven: whatever may be a report is found, since a person will decide about it, or has.
Mail with a signature is read by signed_mail.py.

The work is done by fast_mail_parser (Rust, Apache-2.0), ten times faster than the standard library. But it copies
header fields and parts many times over, however many there are: so the shape of a mail is checked here first. What
it cannot decode, such as base64 with a gateway's footer in it, the standard library tries again.
"""

from __future__ import annotations

import email
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

import fast_mail_parser

from mailposture.quoting import quoted
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from collector.documents.limits import Limits

_FIRST_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:")  # RFC 5322, section 2.2
_HEADER: Final = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n")
_AUTHOR: Final = re.compile(rb"^from[ \t]*:", re.IGNORECASE | re.MULTILINE)
_OF_MAILS: Final = re.compile(rb"^(?:date|message-id|received|mime-version)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_HEADER_END: Final = re.compile(rb"\n\r?\n")
_EMBEDDED_MAIL: Final = re.compile(rb"^content-type[ \t]*:\s*(?:message/|=\?)", re.IGNORECASE | re.MULTILINE)
_BEFORE_MAIL: Final = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]*(?:>?From [^\n]*\n)?")  # a mailbox's separator line


class Part(NamedTuple):
    """A part that is not itself made of parts."""

    name: str
    content: bytes
    media_type: str = ""  # as it is labelled, in lower case
    kinds: frozenset[str] | None = None  # of reports that it may be; None for any
    whole: bool = False  # whether it must be an archive and nothing else


class Mail(NamedTuple):
    """The parts of a mail, and of its header what readers of reports asked for. Values are as written."""

    parts: tuple[Part, ...]
    fields: Mapping[bytes, tuple[str, ...]] = {}  # by lower-case name, from top to bottom
    undecodable: tuple[str, ...] = ()  # parts that could not be decoded, in words
    received: str = ""  # the uppermost Received field, which the last server wrote


def is_mail(body: bytes) -> bool:
    """Whether bytes begin as a mail does: with a header field."""
    return _FIRST_FIELD.match(body, _start(body)) is not None


def is_whole_mail(body: bytes, *, limits: Limits) -> bool:
    """Whether bytes begin with all that the header of a mail has: many a text begins with a word and a colon."""
    header = _HEADER.match(body, _start(body), limits.header_bytes)
    return header is not None and _AUTHOR.search(header[0]) is not None and _OF_MAILS.search(header[0]) is not None


def _start(body: bytes) -> int:
    before = _BEFORE_MAIL.match(body)
    return before.end() if before else 0


def read_mail(body: bytes, *, fields: Collection[bytes], limits: Limits) -> Mail:
    """Take a mail apart, keeping these header fields; raises RejectedError if its shape is hostile."""
    start = _start(body)
    if start:
        body = body[start:]
    _check_shape(body, limits)
    try:
        root = fast_mail_parser.parse_email_tree(body)
        header, parts = root.headers, tuple(_leaves(root, limits))
    except fast_mail_parser.ParseError as error:
        return _read_leniently(body, fields, limits, fault=str(error))
    except BaseException as error:
        # A panic in Rust arrives as pyo3's PanicException, which is no Exception: one mail must not end the process.
        if type(error).__name__ != "PanicException":
            raise
        return _read_leniently(body, fields, limits, fault="it cannot be parsed")
    return Mail(
        parts=parts,
        fields=_wanted(((name, value) for name, values in header.items() for value in values), fields),
        received=next(iter(_values(header, "Received")), ""),
    )


def _values(header: dict[str, list[str]], name: str) -> list[str]:
    """The values of a header field, however its name is spelled."""
    return [value for written, values in header.items() if written.lower() == name.lower() for value in values]


def _wanted(header: Iterable[tuple[str, str]], names: Collection[bytes]) -> Mapping[bytes, tuple[str, ...]]:
    found: defaultdict[bytes, tuple[str, ...]] = defaultdict(tuple)
    for name, value in header:
        if (lower := name.lower().encode("utf-8", "replace")) in names:
            found[lower] += (value,)
    return dict(found)


def _check_shape(body: bytes, limits: Limits) -> None:
    """Count what parsers keep copies of: parts and header fields. An upper bound, found without parsing."""
    boundaries = body.count(b"\n--")
    if boundaries > limits.mime_parts:
        raise RejectedError(Reason.TOO_MANY, f"mail has up to {boundaries} parts; {limits.mime_parts} are allowed")
    header_bytes, position = 0, 0
    while position >= 0:
        end = _HEADER_END.search(body, position)
        section_end = end.start() if end else len(body)
        header_bytes += section_end - position
        if header_bytes > limits.header_bytes:
            raise RejectedError(
                Reason.TOO_LARGE,
                f"mail has more than the {limits.header_bytes} bytes of header fields allowed, counting as such what "
                "follows each line that looks like a boundary, up to an empty line",
            )
        if len(body) > limits.embedded_mail_bytes and _EMBEDDED_MAIL.search(body, position, section_end):
            raise RejectedError(
                Reason.TOO_NESTED,
                f"mail of {len(body)} bytes holds another mail; only those up to {limits.embedded_mail_bytes} may",
            )
        position = body.find(b"\n--", section_end)
        if position >= 0:
            position = body.find(b"\n", position + 1)


def _leaves(root: fast_mail_parser.PyMimePart, limits: Limits) -> Iterator[Part]:
    pending = [(root, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > limits.mime_nesting:
            raise RejectedError(Reason.TOO_NESTED, f"mail nests its parts more than {limits.mime_nesting} deep")
        if node.children:
            pending += [(child, depth + 1) for child in reversed(node.children)]
        elif content := node.content:
            yield Part(name=node.filename or "", content=content, media_type=node.content_type.lower())


def _read_leniently(body: bytes, fields: Collection[bytes], limits: Limits, *, fault: str) -> Mail:
    """Read a mail with the standard library, which drops what it cannot decode and carries on."""
    if (
        len(body) > limits.lenient_mail_bytes
        or body.count(b"\n") > limits.lenient_mail_lines
        or body.count(b"\n--") > limits.lenient_mail_parts
    ):
        raise RejectedError(Reason.BAD_ENCODING, f"mail of {len(body)} bytes cannot be decoded: {quoted(fault)}")
    parts, undecodable = [], []
    try:
        mail = email.message_from_bytes(body)
        for node in mail.walk():
            if node.is_multipart():
                continue
            content = node.get_payload(decode=True)
            if isinstance(content, bytes) and content:
                parts.append(Part(node.get_filename() or "", content, node.get_content_type()))
            if node.defects:
                defect = type(node.defects[0]).__name__
                undecodable.append(f"part {quoted(node.get_content_type())} is damaged: {defect}")
    except RecursionError as error:
        raise RejectedError(Reason.TOO_NESTED, "mail nests its parts too deep") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RejectedError(Reason.BAD_ENCODING, f"mail cannot be decoded: {quoted(str(error))}") from error
    return Mail(
        parts=tuple(parts),
        fields=_wanted(((name, str(value)) for name, value in mail.items()), fields),
        undecodable=tuple(undecodable),
        received=str(mail.get("Received", "")),
    )
