"""A mail of which a signature proves something, read by nothing but what was proven.

A DKIM signature covers some header fields and the body. Two readers of the same bytes can still see two things: the
one who signed, and we. A report counts as the signer's word only where no other reading is possible, and where the
signer says that it is a report. So nothing here is forgiving; what is not clear raises UnclearError, the mail goes to
quarantine with that reason, and a person may release it (then mail.py reads it, which forgives much).

**Which fields.** Only those that were signed, in the copies that were signed. A field above them is anybody's.

**How the body is to be read**, Content-Type and Content-Transfer-Encoding say. Google signs neither, so that anybody
can write others above a mail of Google's and so choose which of its lines are part headers. If Content-Type was not
signed, the body itself must say what it is, and in one way only: as a multipart. Its first line is a delimiter, and the
boundary is taken from there. With that boundary there is a last delimiter and nothing behind it; and no other line
begins with two hyphens, so that no other boundary, and no multipart in the multipart, could be meant. A preamble, an
epilogue, a line of dashes in a text: unclear. An attacker who has some of the text of a signed mail (an invitation, a
comment) has neither its first line nor its end. Or the whole body is base64 of an archive and nothing else, as Google
sends DMARC reports. Any other single document would have to be recognized by how it begins: unclear.

If Content-Type was signed, its boundary decides; text before the first and after the last delimiter is ignored, as
RFC 2046, section 5.1.1 has it. A multipart has no Content-Transfer-Encoding (section 5.1). That of a single document,
if it was not signed, its bytes must say: JSON, gzip and zip begin otherwise in base64 than as they are; JSON that would
be another by quoted-printable is unclear. The fields of parts lie in the body, so they were always signed; one that is
there twice, or malformed, or repeats a parameter, is read differently by different readers: unclear.

**What is a report.** A signature proves who sent a mail, not that what lies in it is the sender's word: bounces,
forwards and auto-replies carry the words of others. A report is a part that says so by its media type, as the mail
itself or directly in its one multipart; never inside a `message/*` or another multipart, never in text or HTML. And the
mail says so too, in the way of its kind (ReportKind.mail), as RFC 8460, section 5.3 demands for TLS reports: by
`multipart/report` with `report-type=tlsrpt`, by its own header fields, or by its Subject, each only if it was signed.
Or a part is called as RFC 7489, section 7.2.1.1 has DMARC reports called. What it holds must be of the stated kind. A
forwarded attachment keeps its media type, but the mail around it is another. Mailing lists and auto-replies may keep
all of that and sign it as their own; they sign as well that they are a list, or what they answer, or that it is a
`Fwd:`. In a mail that says that it is a report, the wrong labels that real reporters use (`application/json`, `-gzip`,
`-zip`, `octet-stream`) pass as well. What a part then contains is found by its first bytes.
"""

from __future__ import annotations

import binascii
import email.message
import re
from collections import defaultdict
from email.utils import collapse_rfc2231_value
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.dkim.canonical import FIELD
from collector.documents.content import kind_of
from collector.documents.limits import LIMITS
from collector.documents.mail import Mail, Part
from collector.documents.refused import refuse_report_type
from reports.file_names import policy_domain_of_file_name
from reports.kinds import KINDS
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.dkim.verifier import Proof
    from collector.documents.limits import Limits

_DOCUMENTS: Final = ("gzip", "zip", "json", "xml")
_IDENTITY: Final = frozenset((b"", b"7bit", b"8bit", b"binary"))

_MEDIA_TYPE: Final = re.compile(rb"([\w!#$&^.+-]+/[\w!#$&^.+-]+)[ \t]*(?=;|$)")
_DISPOSITION: Final = re.compile(rb"([\w-]+)[ \t]*(?=;|$)")
_QUOTED: Final = rb'"([^"\\]*(?:\\.[^"\\]*)*)"'  # three times as fast as a group for each character
_PARAMETER: Final = re.compile(rb';[ \t]*(?:([\w!#$&^.+*\'-]+)[ \t]*=[ \t]*(?:%b|([^\s";]+))[ \t]*)?' % _QUOTED)
_ESCAPED: Final = re.compile(rb"\\(.)")
_BOUNDARY: Final = re.compile(rb"[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]", re.ASCII)  # RFC 2046, section 5.1.1
_FIRST_DELIMITER: Final = re.compile(rb"(?:\r\n)*--([\w'()+,./:=?-]{1,70})[ \t]*\r\n", re.ASCII)
_REST_OF_DELIMITER: Final = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
_NOT_QUOTED_PRINTABLE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r\n)")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{16}")
_OF_OTHERS: Final = (b"list-id", b"in-reply-to")  # RFC 2919; RFC 5322, section 3.6.4
# What mail programs of several languages begin the Subject of a reply or a forwarded mail with, after a list's name.
_PASSED_ON: Final = re.compile(
    rb"\s*(?:\[[^]]{0,80}\]\s*)?(?:re|fwd?|aw|wg|antw|doorst|enc|res|rif|rv|sv|tr|vb|vl|vs)\s?(?:\[\d+\]|\(\d+\))?\s?:",
    re.IGNORECASE,
)


class UnclearError(Exception):
    """What was signed does not say in one way what the mail holds, or does not say that it is a report."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class _Value(NamedTuple):
    """A field value of the kind `what; name=value; …`, in lower case apart from the values."""

    what: bytes
    parameters: Mapping[bytes, bytes]


def read_signed(proof: Proof, *, limits: Limits) -> Mail:
    """The parts that are reports of some kind, and the fields around them.

    Raises UnclearError, or RejectedError for its size.
    """
    if others := next((name for name in _OF_OTHERS if any(proof.fields.get(name, ()))), None):
        raise UnclearError(
            f"it passes on or answers the words of others: its signed header has {others.decode().title()}"
        )
    if _PASSED_ON.match(b"".join(proof.fields.get(b"subject", ()))):
        raise UnclearError("it passes on or answers the words of others: its signed Subject says so")
    fields = _fields_read(proof)
    said = _field(proof.fields, b"content-type")
    content_type = None if said is None else _value(_MEDIA_TYPE, said or b"text/plain", "Content-Type")
    report_type = content_type.parameters.get(b"report-type") if content_type is not None else None
    if report_type is not None:
        refuse_report_type(report_type.decode("ascii", "replace"))
    labels = _labels(frozenset(kind.name for kind in KINDS if kind.mail.states(proof.fields, report_type)))
    if content_type is None:
        parts = _parts_by_body(proof, labels, limits)
    elif content_type.what.startswith(b"multipart/"):
        parts = _parts(proof.body, _boundary(content_type), labels, limits, strict=False)
    else:
        parts = _single(proof, content_type, labels)
    if not parts:
        raise _no_report()
    return Mail(parts=tuple(map(_read, parts)), fields=fields)


class _Labels:
    """Which kinds of reports a part may be by what it says of itself, where the header states some kinds."""

    def __init__(self, stated: frozenset[str]) -> None:
        self.stated = stated
        self._by_type: defaultdict[bytes, frozenset[str]] = defaultdict(frozenset)  # what the header states
        self._own: defaultdict[bytes, frozenset[str]] = defaultdict(frozenset)  # whatever the header states
        for kind in KINDS:
            for media_type in kind.mail.media_types | kind.mail.mislabelled if kind.name in stated else ():
                self._by_type[media_type] |= {kind.name}
            for media_type in kind.mail.media_types:
                self._own[media_type] |= {kind.name}

    def kinds_of(self, media_type: bytes, name: str) -> frozenset[str]:
        """Of a part in a mail whose header states them, or that is called as a report of its kind is."""
        return self._by_type.get(media_type) or frozenset(
            kind.name for kind in KINDS if media_type in kind.mail.mislabelled and kind.mail.is_file_name(name)
        )

    def kinds_alone(self, media_type: bytes, name: str) -> frozenset[str]:
        """Of a mail that is such a part itself: a media type of its own says enough."""
        return self._own.get(media_type) or self.kinds_of(media_type, name)


_labels: Final = lru_cache(_Labels)
_TYPES: Final = frozenset[bytes]().union(*(kind.mail.media_types | kind.mail.mislabelled for kind in KINDS))
_FIELDS: Final = {name: name in kind.mail.repeatable for kind in KINDS for name in kind.mail.fields}


def _fields_read(proof: Proof) -> dict[bytes, tuple[str, ...]]:
    """The signed values of the fields that some kind reads."""
    found: dict[bytes, tuple[str, ...]] = {}
    for name, repeatable in _FIELDS.items():
        if values := proof.fields.get(name):
            if len(values) > 1 and not repeatable:
                _field(proof.fields, name)
            found[name] = tuple([value.decode("ascii", "replace") for value in values])
    return found


def _no_report() -> UnclearError:
    return UnclearError("it is signed, but nothing that is signed says that it is a report")


def _field(fields: Mapping[bytes, tuple[bytes, ...]], name: bytes) -> bytes | None:
    """The signed value; empty if the field was signed as absent; None if it was not signed."""
    values = fields.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise UnclearError(f"it has {len(values)} signed {name.decode().title()} fields")
    return values[0] if values else b""


def _value(pattern: re.Pattern[bytes], text: bytes, name: str) -> _Value:
    what = pattern.match(text)
    position, parameters = what.end() if what else 0, dict[bytes, bytes]()
    while what and position < len(text) and (found := _PARAMETER.match(text, position)):
        position = found.end()
        key, quoted, bare = found.groups()
        if key is None:  # a semicolon too many
            continue
        key = key.lower()
        if key in parameters:
            raise UnclearError(f"its {name} has {key.decode()}= twice")
        value = bare if quoted is None else quoted
        parameters[key] = _ESCAPED.sub(rb"\1", value) if b"\\" in value else value
    if what is None or position < len(text):
        raise UnclearError(f"its {name} is malformed")
    return _Value(what[1].lower(), parameters)


def _boundary(content_type: _Value) -> bytes:
    boundary = content_type.parameters.get(b"boundary", b"")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise UnclearError("its Content-Type has no boundary that can be used")
    return boundary


class _RawPart(NamedTuple):
    """A part that says it is a report, not decoded yet."""

    encoding: bytes | None  # None if only its bytes can say
    name: str
    content: bytes
    kinds: frozenset[str]  # of reports that it may be
    whole: bool = False  # whether it must be an archive and nothing else


def _single(proof: Proof, content_type: _Value, labels: _Labels) -> list[_RawPart]:
    """The mail itself, without parts."""
    encoding = _field(proof.fields, b"content-transfer-encoding")
    disposition = _field(proof.fields, b"content-disposition") or b""
    if content_type.what not in _TYPES:
        return []
    name = _file_name(disposition, b"", content_type.parameters)
    if not (kinds := labels.kinds_alone(content_type.what, name)):
        return []
    return [_RawPart(None if encoding is None else encoding.lower(), name, proof.body, kinds)]


def _parts_by_body(proof: Proof, labels: _Labels, limits: Limits) -> list[_RawPart]:
    """What the body itself shows in one way only, since nobody signed how it is to be read."""
    if not labels.stated:
        raise UnclearError("its Content-Type is not signed, and nothing else that is says that it is a report")
    first = _FIRST_DELIMITER.match(proof.body)
    if first is not None:
        return _parts(proof.body, first[1], labels, limits, strict=True)
    if _BASE64.match(proof.body) and kind_of(_from_base64(proof.body)) in ("gzip", "zip"):
        return [_RawPart(b"base64", "", proof.body, labels.stated, whole=True)]
    raise UnclearError(
        "its Content-Type is not signed, and its body neither begins as a multipart does nor is an archive in base64"
    )


def _parts(body: bytes, boundary: bytes, labels: _Labels, limits: Limits, *, strict: bool) -> list[_RawPart]:
    """The parts of a multipart that say they are reports; `strict` where the boundary is only what the body shows."""
    mark = b"\r\n--" + boundary
    preamble, *pieces = (b"\r\n" + body).split(
        mark
    )  # an expression for each boundary would cost more than all the rest
    if len(pieces) > limits.mime_parts:
        raise RejectedError(Reason.TOO_MANY, f"mail has {len(pieces)} parts; {limits.mime_parts} are allowed")
    parts: list[list[bytes]] = []
    closed, others = False, preamble.count(b"\r\n--")
    for piece in pieces:
        delimiter = _REST_OF_DELIMITER.match(piece)
        others += piece.count(b"\r\n--") + (delimiter is None)
        if delimiter is None:  # a longer line, which only begins like a delimiter
            if parts:
                parts[-1] += mark, piece
            continue
        if closed:
            raise _no_end()
        closed = delimiter[1] is not None
        parts.append([piece[delimiter.end() :]])
    if not closed or len(parts) < 2:
        raise _no_end()
    epilogue = b"".join(parts.pop())
    if strict and (others or epilogue.strip()):
        raise UnclearError("its Content-Type is not signed, and its parts could be divided in more than one way")
    return [found for part in parts if (found := _raw_part(b"".join(part), labels, limits)) is not None]


def _no_end() -> UnclearError:
    return UnclearError("its parts do not end where a last delimiter says so")


def _raw_part(text: bytes, labels: _Labels, limits: Limits) -> _RawPart | None:
    """None for what can be no report, however it is to be read."""
    if text.startswith(b"\r\n"):
        return None
    header, _, content = text.partition(b"\r\n\r\n")
    if len(header) > limits.header_bytes:
        raise RejectedError(Reason.TOO_LARGE, f"a part's header has more than {limits.header_bytes} bytes")
    fields = _part_fields(header + b"\r\n")
    said = fields.get(b"content-type", b"")
    if not said.lower().startswith((b"application/", b"text/xml")):
        return None
    content_type = _value(_MEDIA_TYPE, said, "part's Content-Type")
    if content_type.what not in _TYPES:
        return None
    name = _file_name(fields.get(b"content-disposition", b""), said, content_type.parameters)
    if not (kinds := labels.kinds_of(content_type.what, name)):
        return None
    return _RawPart(fields.get(b"content-transfer-encoding", b"").lower(), name, content, kinds)


def _part_fields(header: bytes) -> dict[bytes, bytes]:
    """The fields that say how a part is to be read: unfolded values by name in lower case."""
    position, fields = 0, dict[bytes, bytes]()
    while position < len(header):
        found = FIELD.match(header, position)
        if found is None:
            raise UnclearError("the header of one of its parts is malformed")
        position, name = found.end(), found[1].lower()
        if name in fields and name.startswith(b"content-"):
            raise UnclearError(f"one of its parts has two {name.decode().title()} fields")
        fields[name] = b" ".join(found[2].split())
    return fields


def _file_name(disposition: bytes, content_type: bytes, parameters: Mapping[bytes, bytes]) -> str:
    """What a part is called. Two names that speak of two domains are none: UnclearError."""
    if b"*" in disposition or b"*" in content_type:  # RFC 2231: in pieces, or in another character set
        names = _file_names_by_rfc_2231(disposition, content_type)
    else:
        attached = _value(_DISPOSITION, disposition, "part's Content-Disposition").parameters if disposition else {}
        names = [
            value.decode("utf-8", "replace") for value in (attached.get(b"filename"), parameters.get(b"name")) if value
        ]
    if len(set(names)) > 1 and len(set(map(policy_domain_of_file_name, names))) > 1:
        raise UnclearError("one of its parts has two names, about two domains")
    return names[0] if names else ""


def _file_names_by_rfc_2231(disposition: bytes, content_type: bytes) -> list[str]:
    if len(disposition) + len(content_type) > LIMITS.field_by_rfc_2231:
        raise UnclearError("the name of one of its parts is too long")
    part = email.message.Message()
    part["Content-Disposition"] = disposition.decode("ascii", "replace")
    part["Content-Type"] = content_type.decode("ascii", "replace")
    try:
        values = part.get_param("filename", header="Content-Disposition"), part.get_param("name")
        return [collapse_rfc2231_value(value) for value in values if value]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UnclearError("the name of one of its parts cannot be read") from None


def _read(part: _RawPart) -> Part:
    encoding, content = part.encoding, part.content
    if encoding is None:
        encoding = _encoding_of(content)
    if encoding == b"base64":
        return Part(name=part.name, content=_from_base64(content), kinds=part.kinds, whole=part.whole)
    if encoding == b"quoted-printable":
        if _NOT_QUOTED_PRINTABLE.search(content):
            raise UnclearError("a part is not the quoted-printable that it says it is")
        return Part(name=part.name, content=binascii.a2b_qp(content), kinds=part.kinds)
    if encoding not in _IDENTITY:
        raise UnclearError(f"a part has the unknown Content-Transfer-Encoding {encoding[:40]!r}")
    return Part(name=part.name, content=content, kinds=part.kinds)


def _encoding_of(content: bytes) -> bytes:
    """How a document is encoded whose encoding was not signed."""
    if kind_of(content) in _DOCUMENTS:
        if b"=" in content and binascii.a2b_qp(content) != content:
            raise UnclearError("its Content-Transfer-Encoding is not signed, and it could be read in two ways")
        return b""
    if kind_of(_from_base64(content)) in _DOCUMENTS:
        return b"base64"
    raise UnclearError("its Content-Transfer-Encoding is not signed, and it is no JSON, XML, gzip or zip")


def _from_base64(content: bytes) -> bytes:
    """Strictly: of base64 with anything else in it, readers make different things."""
    try:
        return binascii.a2b_base64(content.translate(None, b" \t\r\n"), strict_mode=True)
    except binascii.Error:
        raise UnclearError("a part is not the base64 that it should be") from None
