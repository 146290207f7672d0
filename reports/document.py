"""What was found in a message before anybody knows what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.rejection import Fault


class Form(StrEnum):
    """How a document is written, as its first bytes show."""

    JSON = "json"
    XML = "xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What should be a report. JSON is UTF-8 without byte order mark; XML is as it came."""

    kind: str  # of report, as it was recognized: the name of a ReportKind
    content: bytes
    domains: tuple[str, ...] = ()  # in the names of the part, and of the file in an archive, that held it


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a message holds: at least one document."""

    documents: tuple[Document, ...]
    # Header fields of the mail that some kind of report reads (ReportKind.mail), by lower-case name, as written.
    fields: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    proven: bool = False  # whether a signature covers all of this, so that nothing else of the mail was read
    received: str = ""  # the uppermost Received field, as written
    faults: tuple[Fault, ...] = ()  # of what could not be read beside the documents
    warnings: tuple[str, ...] = ()
