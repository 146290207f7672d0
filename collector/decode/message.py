"""From the bytes that came in to the report documents inside.

Senders mislabel everything: gzip typed as JSON, JSON named .gz, a report as the whole mail or as octet-stream
(RFC 8460, section 5.3, says how it should be). So documents are found by their first bytes, never by type or name.
Pure: bytes in, bytes out.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Final

from collector.decode.compression import EMPTY_ZIP_MAGIC, GZIP_MAGIC, ZIP_MAGIC, Budget, gunzip, unzip
from collector.decode.limits import LIMITS, Limits
from collector.decode.mail import is_mail, read_mail
from collector.decode.text import clean
from collector.rejection import Fault, Reason, RejectedError
from mailposture.domain_names import normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON document, as UTF-8 without byte order mark, and the name of the part or file that held it."""

    json: bytes
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a message holds. At least one document; domains are normalized, or empty."""

    documents: tuple[Document, ...]
    header_domain: str = ""  # TLS-Report-Domain
    submitter: str = ""  # TLS-Report-Submitter
    file_domain: str = ""  # the policy domain in the names of the files, if they agree
    warnings: tuple[str, ...] = ()


def open_message(body: bytes, *, limits: Limits = LIMITS) -> Opened:
    """Find the report documents in a mail, JSON, gzip or zip.

    A broken attachment beside a good one becomes a warning. Raises RejectedError if there is no document at all.
    """
    if not body or body.isspace():
        raise RejectedError(Reason.EMPTY, "there is nothing in it")
    if len(body) > limits.message_bytes:
        raise RejectedError(Reason.TOO_LARGE, f"{len(body)} bytes; {limits.message_bytes} are allowed")
    search = _Search(limits)
    if _kind_of(body) or not is_mail(body):
        search.look_into(body, name="")
        return search.result(header_domain="", submitter="")
    mail = read_mail(body, limits=limits)
    for part in mail.parts:
        search.look_into(part.content, name=part.name)
    search.faults += [Fault(Reason.BAD_ENCODING, fault) for fault in mail.undecodable]
    return search.result(
        header_domain=normalize(mail.report_domain) or "", submitter=normalize(mail.report_submitter) or ""
    )


def policy_domain_of_file_name(name: str) -> str:
    """The policy domain in `sender!policy-domain!begin!end[!unique-id].json[.gz]` (RFC 8460, section 5.1), or empty."""
    fields = name.rpartition("/")[2].split("!")
    return (normalize(fields[1]) or "") if len(fields) >= 4 else ""


# What content is, by its first bytes; JSON and XML after a byte order mark or white space, in UTF-8, UTF-16 or UTF-32.
_KIND: Final = re.compile(
    rb"(?P<gzip>%b)|(?P<zip>%b|%b)" % (GZIP_MAGIC, ZIP_MAGIC, EMPTY_ZIP_MAGIC)
    + rb"|(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff|\0\0\xfe\xff)?[\s\0]*(?:(?P<json>\{)|(?P<xml><))"
)

# Longest first: the mark of UTF-16 begins that of UTF-32.
_ENCODINGS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
)


def _kind_of(content: bytes) -> str | None:
    found = _KIND.match(content)
    return found.lastgroup if found else None


def _encoding_of(content: bytes) -> str | None:
    """The encoding that the first bytes give away, or None for what should be UTF-8."""
    if content.startswith((b'{"', b"{\n")):
        return None
    return next((encoding for mark, encoding in _ENCODINGS if content.startswith(mark)), None)


class _Search:
    """Collects documents, and what went wrong on the way."""

    def __init__(self, limits: Limits) -> None:
        self.faults: list[Fault] = []
        self._limits = limits
        self._budget = Budget(limits=limits)
        self._documents: list[Document] = []
        self._warnings: list[str] = []
        self._unknown: list[str] = []

    def look_into(self, content: bytes, *, name: str, nesting: int = 0) -> None:
        try:
            self._look_into(content, clean(name, self._limits.name_length), nesting)
        except RejectedError as error:
            self.faults.append(error.fault)

    def _look_into(self, content: bytes, name: str, nesting: int) -> None:
        kind = _kind_of(content)
        if kind in ("gzip", "zip") and nesting >= self._limits.archive_nesting:
            raise RejectedError(
                Reason.TOO_NESTED, f"archive in archive, more than {self._limits.archive_nesting} deep{_in(name)}"
            )
        match kind:
            case "json":
                self._documents.append(Document(json=self._as_utf8(content, name), name=name))
            case "gzip":
                unpacked, more = gunzip(content, budget=self._budget)
                if more:
                    self._warnings.append(f"bytes after the end of the gzip{_in(name)} were ignored")
                self._look_into(unpacked, name, nesting + 1)
            case "zip":
                for member, unpacked in unzip(content, budget=self._budget):
                    self.look_into(unpacked, name=member, nesting=nesting + 1)
            case "xml" if b"<feedback" in content[:4096]:
                raise RejectedError(Reason.DMARC_REPORT, f"a DMARC aggregate report, not a TLS report{_in(name)}")
            case _:
                self._unknown.append(name)

    def _as_utf8(self, content: bytes, name: str) -> bytes:
        if len(content) > self._limits.document_bytes:
            raise RejectedError(
                Reason.TOO_LARGE, f"JSON of {len(content)} bytes{_in(name)}; {self._limits.document_bytes} are allowed"
            )
        encoding = _encoding_of(content)
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

    def result(self, *, header_domain: str, submitter: str) -> Opened:
        if not self._documents:
            fault = self._worst_fault()
            raise RejectedError(fault.reason, fault.detail)
        domains = {policy_domain_of_file_name(document.name) for document in self._documents}
        return Opened(
            documents=tuple(self._documents),
            header_domain=header_domain,
            submitter=submitter,
            file_domain=domains.pop() if len(domains) == 1 else "",
            warnings=(*self._warnings, *(f"beside this report: {fault.detail}" for fault in self.faults)),
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
