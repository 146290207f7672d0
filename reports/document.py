"""What was found in a message before anybody knows what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reports.rejection import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A JSON document, as UTF-8 without byte order mark."""

    json: bytes
    domains: tuple[str, ...] = ()  # in the names of the part, and of the file in an archive, that held it


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a message holds: at least one document."""

    documents: tuple[Document, ...]
    # Domains that TLS-Report-Domain names: one, none, or several that somebody added. What is no domain name stands
    # here as it was written.
    named: tuple[str, ...] = ()
    subject_domain: str = ""  # what a signed Subject names, likewise
    submitter: str = ""  # TLS-Report-Submitter, normalized; empty if it is no domain name with a dot
    received: str = ""  # the uppermost Received field, as written
    faults: tuple[Fault, ...] = ()  # of what could not be read beside the documents
    warnings: tuple[str, ...] = ()
