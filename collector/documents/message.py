"""From the bytes that came in to the report documents inside.

There are two ways in: open_proven() for what a signature proves, which is read strictly, and open_message() for all
else, which is read generously, since nobody believes it before a person has looked at it, or has given it to us. Either
way what a document is, its first bytes say. Pure: bytes in, bytes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.documents.compression import Budget, gunzip, unzip
from collector.documents.content import encoding_of, kind_of
from collector.documents.limits import LIMITS, Limits
from collector.documents.mail import Mail, is_mail, read_mail
from collector.documents.signed_mail import read_signed
from reports.document import Document, Form, Opened
from reports.file_names import policy_domain_of_file_name
from reports.kinds import KINDS, recognize
from reports.limits import NAME_LENGTH
from reports.rejection import Fault, Reason, RejectedError
from reports.text import clean

if TYPE_CHECKING:
    from collector.dkim.verifier import Proof


FIELDS: Final = frozenset(name for kind in KINDS for name in kind.mail.fields)
"""Header fields that some kind of report reads, in lower case."""


def open_message(body: bytes, *, as_mail: bool = False, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in a mail, JSON, gzip or zip; `as_mail` where it can be nothing but a mail.

    Raises RejectedError if there is no document at all.
    """
    search = _search(body, limits)
    if not as_mail and (kind_of(body) or not is_mail(body)):
        search.look_into(body, name="")
        return search.result(Mail(parts=()))
    return _look_into_parts(search, read_mail(body, fields=FIELDS, limits=limits))


def open_mail(mail: Mail, *, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in a mail that was taken apart. Raises RejectedError if there is no document at all."""
    return _look_into_parts(_Search(limits), mail)


def open_proven(proof: Proof, *, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in what a signature proves.

    Raises UnclearError if that does not say in one way what it is, and RejectedError if there is no document.
    """
    return _look_into_parts(_search(proof.body, limits), read_signed(proof, kinds=KINDS, limits=limits), proven=True)


def _search(body: bytes, limits: Limits) -> _Search:
    if not body or body.isspace():
        raise RejectedError(Reason.EMPTY, "there is nothing in it")
    if len(body) > limits.message_bytes:
        raise RejectedError(Reason.TOO_LARGE, f"{len(body)} bytes; {limits.message_bytes} are allowed")
    return _Search(limits)


def _look_into_parts(search: _Search, mail: Mail, *, proven: bool = False) -> Opened:
    for part in mail.parts:
        search.look_into(part.content, name=part.name)
    search.faults += [Fault(Reason.BAD_ENCODING, fault) for fault in mail.undecodable]
    return search.result(mail, proven=proven)


class _Search:
    """Collects documents, and what went wrong on the way."""

    def __init__(self, limits: Limits) -> None:
        self.faults: list[Fault] = []
        self._limits = limits
        self._budget = Budget(limits=limits)
        self._documents: list[Document] = []
        self._warnings: list[str] = []
        self._unknown: list[str] = []

    def look_into(self, content: bytes, *, name: str, within: tuple[str, ...] = (), nesting: int = 0) -> None:
        """`within`: the names of the archives around it."""
        name = clean(name, NAME_LENGTH)
        try:
            self._look_into(content, name, within, nesting)
        except RejectedError as error:
            self.faults.append(error.fault)

    def _look_into(self, content: bytes, name: str, within: tuple[str, ...], nesting: int) -> None:
        kind = kind_of(content)
        if kind in ("gzip", "zip") and nesting >= self._limits.archive_nesting:
            raise RejectedError(
                Reason.TOO_NESTED, f"archive in archive, more than {self._limits.archive_nesting} deep{_in(name)}"
            )
        match kind:
            case "json" | "xml":
                self._take(Form(kind), content, name, within)
            case "gzip":
                unpacked, more = gunzip(content, budget=self._budget)
                if more:
                    self._warnings.append(f"bytes after the end of the gzip{_in(name)} were ignored")
                self._look_into(unpacked, name, within, nesting + 1)
            case "zip":
                for member, unpacked in unzip(content, budget=self._budget):
                    self.look_into(unpacked, name=member, within=(*within, name), nesting=nesting + 1)
            case _:
                self._unknown.append(name)

    def _take(self, form: Form, content: bytes, name: str, within: tuple[str, ...]) -> None:
        kind = recognize(form, content)
        if kind is None:
            if form is Form.XML and b"<feedback" in content[:4096]:
                raise RejectedError(Reason.DMARC_REPORT, f"a DMARC aggregate report, not a TLS report{_in(name)}")
            self._unknown.append(name)
            return
        domains = map(policy_domain_of_file_name, (*within, name))
        self._documents.append(
            Document(
                kind=kind.name,
                content=self._as_utf8(content, name) if form is Form.JSON else content,
                domains=tuple(dict.fromkeys(filter(None, domains))),
            )
        )

    def _as_utf8(self, content: bytes, name: str) -> bytes:
        if len(content) > self._limits.document_bytes:
            raise RejectedError(
                Reason.TOO_LARGE, f"JSON of {len(content)} bytes{_in(name)}; {self._limits.document_bytes} are allowed"
            )
        encoding = encoding_of(content)
        if encoding is None:
            return content
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError as error:
            raise RejectedError(
                Reason.BAD_ENCODING,
                f"JSON{_in(name)} is not {error.encoding} as it begins, at byte {error.start}",
            ) from error
        self._warnings.append(
            "a byte order mark was left out" if encoding == "utf-8-sig" else f"was read as {encoding.upper()}"
        )
        return text.removeprefix("\ufeff").encode("utf-8", "replace")

    def result(self, mail: Mail, *, proven: bool = False) -> Opened:
        if not self._documents:
            fault = self._worst_fault()
            raise RejectedError(fault.reason, fault.detail)
        return Opened(
            documents=tuple(self._documents),
            fields=mail.fields,
            proven=proven,
            received=mail.received,
            faults=tuple(self.faults),
            warnings=tuple(self._warnings),
        )

    def _worst_fault(self) -> Fault:
        if self.faults:
            return self.faults[0]
        parts = len(self._unknown)
        return Fault(
            Reason.NO_REPORT,
            f"none of its {parts} parts is JSON, gzip or zip"
            if parts > 1
            else "it is not JSON, gzip or zip, nor a mail of these",
        )


def _in(name: str) -> str:
    return f" in {name!r}" if name else ""
