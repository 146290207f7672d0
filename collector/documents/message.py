"""From the bytes that came in to the report documents inside.

There are two ways in: open_proven() for what a signature proves, which is read strictly, and open_message() for all
else, which is read leniently, since it is accepted only once an operator has looked at it, or has imported it. Either
way what a document is, its first bytes say. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from collector.documents.compression import Budget, ends_as_zip, gunzip, unzip
from collector.documents.content import encoding_of, kind_of
from collector.documents.in_a_row import may_be_several, pieces
from collector.documents.limits import LIMITS, Limits
from collector.documents.mail import Mail, is_mail, is_whole_mail, read_mail
from collector.documents.refused import refuse_content_type, refuse_part
from collector.documents.signed_mail import UnclearError, read_signed
from reports.document import Document, Form, Opened
from reports.file_names import policy_domain_of_file_name
from reports.kinds import KINDS, recognize
from reports.limits import NAME_LENGTH
from reports.rejection import Fault, Reason, RejectedError
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from collector.dkim.verifier import Proof
    from collector.documents.mail import Part


_CONTENT_TYPE: Final = b"content-type"
_FIELDS: Final = frozenset((_CONTENT_TYPE, *(name for kind in KINDS for name in kind.mail.fields)))
_SHOWN: Final = 60  # bytes of what is no report, in the sentence that says so
_BINARY: Final = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_DOCUMENT: Final = re.compile(rb"\s*(?:<\?xml|[{\[])")


def open_message(body: bytes, *, as_mail: bool = False, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in a mail, JSON, gzip or zip; `as_mail` where it can be nothing but a mail.

    Raises RejectedError if there is no document at all.
    """
    search = _search(body, limits)
    if not as_mail and (kind_of(body) or not is_mail(body)):
        search.look_into(body, _Place())
        return search.result(Mail(parts=()))
    return _look_into_parts(search, read_mail(body, fields=_FIELDS, limits=limits))


def open_mail(mail: Mail, *, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in a mail that was taken apart. Raises RejectedError if there is no document at all."""
    return _look_into_parts(_Search(limits), mail)


def open_proven(proof: Proof, *, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in what a signature proves.

    Raises UnclearError if that does not say in one way what it is, and RejectedError if there is no document.
    """
    return _look_into_parts(_search(proof.body, limits), read_signed(proof, limits=limits), proven=True)


def _search(body: bytes, limits: Limits) -> _Search:
    if not body or body.isspace():
        raise RejectedError(Reason.EMPTY, "there is nothing in it")
    if len(body) > limits.message_bytes:
        raise RejectedError(Reason.TOO_LARGE, f"{len(body)} bytes; {limits.message_bytes} are allowed")
    return _Search(limits)


def _look_into_parts(search: _Search, mail: Mail, *, proven: bool = False) -> Opened:
    for part in _parts(mail):
        search.look_into(part.content, _Place(clean(part.name, NAME_LENGTH), kinds=part.kinds, whole=part.whole))
    search.faults += [Fault(Reason.BAD_ENCODING, fault) for fault in mail.undecodable]
    return search.result(mail, proven=proven)


def _parts(mail: Mail) -> Iterator[Part]:
    """One after the other; raises RejectedError at the first that is never read, or for the header of such a mail."""
    for written in mail.fields.get(_CONTENT_TYPE, ()):
        refuse_content_type(written)
    for part in mail.parts:
        refuse_part(part.media_type)
        yield part


class _Place(NamedTuple):
    """Where in a message something was found. As text: words that follow what is said about it."""

    name: str = ""  # of the part, file or member of an archive, cleaned
    within: tuple[str, ...] = ()  # names of the archives around it
    nesting: int = 0  # archives around it
    mails: int = 0  # that are attached to another, around it
    kinds: frozenset[str] | None = None  # of reports that it may be; None for any
    whole: bool = False  # whether it must be an archive and nothing else

    def __str__(self) -> str:
        return f" in {self.name!r}" if self.name else ""

    def unpacked(self) -> _Place:
        return self._replace(nesting=self.nesting + 1, whole=False)

    def member(self, name: str) -> _Place:
        return self.unpacked()._replace(name=clean(name, NAME_LENGTH), within=(*self.within, self.name))

    def part(self, name: str) -> _Place:
        """Of the mail that this is."""
        return self._replace(name=clean(name, NAME_LENGTH), within=(*self.within, self.name), mails=self.mails + 1)

    def domains(self) -> tuple[str, ...]:
        """The policy domains in the names."""
        names = (*self.within, self.name) if self.within else (self.name,)
        return tuple(dict.fromkeys(filter(None, map(policy_domain_of_file_name, names))))


class _Search:
    """Collects documents, and what went wrong on the way."""

    def __init__(self, limits: Limits) -> None:
        self.faults: list[Fault] = []
        self._limits = limits
        self._budget = Budget(limits=limits)
        self._documents: list[Document] = []
        self._warnings: list[str] = []
        self._unknown = 0
        self._looked_like = ""  # the first of those that was no text beside a report

    def look_into(self, content: bytes, place: _Place) -> None:
        try:
            self._look_into(content, place)
        except RejectedError as error:
            self.faults.append(error.fault)

    def _look_into(self, content: bytes, place: _Place) -> None:
        kind = kind_of(content)
        if kind in ("gzip", "zip") and place.nesting >= self._limits.archive_nesting:
            raise RejectedError(
                Reason.TOO_NESTED, f"archive in archive, more than {self._limits.archive_nesting} deep{place}"
            )
        match kind:
            case "json" | "xml":
                self._look_into_text(Form(kind), content, place)
            case "gzip":
                unpacked, more = gunzip(content, budget=self._budget)
                if more and place.whole:
                    raise UnclearError("its Content-Type is not signed, and bytes follow the gzip that it is")
                if more:
                    self._warnings.append(f"bytes after the end of the gzip{place} were ignored")
                self._look_into(unpacked, place.unpacked())
            case "zip":
                if place.whole and not ends_as_zip(content):
                    raise UnclearError("its Content-Type is not signed, and bytes follow the zip that it is")
                for member, unpacked in unzip(content, budget=self._budget):
                    self.look_into(unpacked, place.member(member))
            case _ if place.kinds is None and is_whole_mail(content, limits=self._limits):
                self._look_into_mail(content, place)
            case _:
                self._leave(content, place)

    def _look_into_text(self, form: Form, content: bytes, place: _Place) -> None:
        """A document, or several in a row. Text after the last one is left to the reader of its kind."""
        if form is Form.JSON:
            content = self._as_utf8(content, place)
        found = list(self._pieces(form, content, place))
        documents = [(Form(kind), piece) for kind, piece in found if kind in ("json", "xml")]
        if len(documents) < 2 and not content.lstrip().startswith(b"["):
            self._take(form, content, place)
            return
        for each, piece in documents:
            self._take(each, piece, place)
        for kind, piece in found:
            if kind not in ("json", "xml"):
                self.faults.append(Fault(Reason.NO_REPORT, f"{len(piece)} bytes beside its documents{place} are none"))

    def _pieces(self, form: Form, content: bytes, place: _Place) -> Iterator[tuple[str | None, bytes]]:
        """The documents in a row, and what is no document between them; none where it is evidently one."""
        if len(content) > self._limits.in_a_row_bytes or not may_be_several(form, content):
            return
        for number, piece in enumerate(pieces(content)):
            if number == self._limits.documents:
                raise RejectedError(
                    Reason.TOO_MANY, f"more than {self._limits.documents} documents{place}; import them from a file"
                )
            yield kind_of(piece), piece

    def _look_into_mail(self, content: bytes, place: _Place) -> None:
        """A mail that is attached to another as a file, or lies in an archive."""
        limits = self._limits
        if place.mails >= limits.attached_mail_nesting:
            raise RejectedError(
                Reason.TOO_NESTED, f"mails attached to mails more than {limits.attached_mail_nesting} deep{place}"
            )
        if len(content) > limits.attached_mail_bytes:
            raise RejectedError(
                Reason.TOO_LARGE,
                f"mail of {len(content)} bytes{place}; {limits.attached_mail_bytes} are allowed in another message",
            )
        mail = read_mail(content, fields=(_CONTENT_TYPE,), limits=limits)
        for part in _parts(mail):
            self.look_into(part.content, place.part(part.name))
        self.faults += [Fault(Reason.BAD_ENCODING, fault) for fault in mail.undecodable]

    def _take(self, form: Form, content: bytes, place: _Place) -> None:
        kind = recognize(form, content)
        if kind is None or (place.kinds is not None and kind.name not in place.kinds):
            self._leave(content, place)
            return
        allowed = min(kind.document_bytes, self._limits.document_bytes)
        if len(content) > allowed:
            raise RejectedError(Reason.TOO_LARGE, f"{kind.title} of {len(content)} bytes{place}; {allowed} are allowed")
        self._documents.append(Document(kind=kind.name, content=content, domains=place.domains()))

    def _leave(self, content: bytes, place: _Place) -> None:
        self._unknown += 1
        if not self._looked_like and (place.name or place.nesting):
            self._looked_like = f"; what is{place or ' packed'} {_look(content, place.domains())}"

    def _as_utf8(self, content: bytes, place: _Place) -> bytes:
        encoding = encoding_of(content)
        if encoding is None:
            return content
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise RejectedError(
                Reason.BAD_ENCODING,
                f"JSON{place} is not {error.encoding} as it begins, at byte {error.start}",
            ) from error
        self._warnings.append(
            "a byte order mark was left out" if encoding == "utf-8-sig" else f"was read as {encoding.upper()}"
        )
        return text.removeprefix("\ufeff").encode("utf-8", "replace")

    def result(self, mail: Mail, *, proven: bool = False) -> Opened:
        if not self._documents:
            raise RejectedError.of(*self.faults or [self._no_report()])
        return Opened(
            documents=tuple(self._documents),
            fields=mail.fields,
            proven=proven,
            received=mail.received,
            faults=tuple(self.faults),
            warnings=tuple(self._warnings),
        )

    def _no_report(self) -> Fault:
        return Fault(
            Reason.NO_REPORT,
            (
                f"none of its {self._unknown} parts is JSON, XML, gzip or zip that could be a report"
                if self._unknown > 1
                else "it is not JSON, XML, gzip or zip that could be a report, nor a mail of these"
            )
            + self._looked_like,
        )


def _look(content: bytes, named: Collection[str]) -> str:
    """What bytes that are no report look like; `named` if they are called as a report is.

    Of other text only that it is: it may be somebody's mail, of which nothing goes into a table.
    """
    if named or _DOCUMENT.match(content):
        return f"begins with {clean(content[:_SHOWN].decode('utf-8', 'replace'), _SHOWN)!r}"
    if _BINARY.search(content[:_SHOWN].decode("utf-8", "replace")[:-3]):
        return f"is binary and begins with {content[:4].hex(' ')}"
    return "is text"
