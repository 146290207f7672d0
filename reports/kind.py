"""What a kind of report is: a handful of functions and tables, used by code that knows no kind by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config
    from mailposture.ownership import Ownership
    from reports.document import Document, Form, Opened
    from reports.envelope import Envelope, Trust
    from reports.rejection import Fault
    from reports.rows import Rows
    from reports.table import Table


class Report(Protocol):
    """A report that was read: somebody says something about a period."""

    @property
    def organization(self) -> str: ...  # as it says: free text
    @property
    def contact(self) -> str: ...  # as it says, a mail address at best
    @property
    def day(self) -> date: ...  # that its numbers are counted on, in UTC
    @property
    def entries(self) -> int: ...  # what its size in memory comes from


class Attribution(Protocol):
    """What of a report is about domains of ours."""

    @property
    def domains(self) -> tuple[str, ...]: ...  # sorted, at least one


class Claim(NamedTuple):
    """Whom a report says it is from; a signature that proves it must be of that organization."""

    domain: str
    field: str  # that says so, as people know it


class Provenance(NamedTuple):
    """How the reports of one message came, and why they are trusted."""

    opened: Opened
    envelope: Envelope
    arrived_at: datetime
    trust: Trust
    signer: str = ""  # the domain whose DKIM signature proves them, or empty
    spf_domain: str = ""  # the domain of MAIL FROM that SPF proves, where no signature does, or empty


@dataclass(frozen=True, slots=True, kw_only=True)
class MailForm:
    """How a mail says that it brings reports of a kind. Names and media types are in lower case."""

    media_types: frozenset[bytes]  # of parts that are such reports, and nothing else
    mislabelled: frozenset[bytes]  # wrong ones that real reporters use, and that count where the header states a report
    fields: tuple[bytes, ...]  # header fields that are read; signed more than once they are unclear, except for
    repeatable: frozenset[bytes]  # those of which several may stand
    # Whether a signed header states a report: its fields by name, and report-type= of its Content-Type or None.
    states: Callable[[Mapping[bytes, tuple[bytes, ...]], bytes | None], bool]
    is_file_name: Callable[[str], bool]  # whether only such reports are called so, which then states one as well
    # Parts that people take for such reports, and that are never read: by media type, with the reason in words.
    refused: Mapping[str, Fault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTables:
    """Where the rows of a kind go, in the order of writing: a report that has its own row is stored as a whole."""

    parts: tuple[Table, ...]
    report: Table


_Report = TypeVar("_Report", bound=Report)
_Attribution = TypeVar("_Attribution", bound=Attribution)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportKind(Generic[_Report, _Attribution]):
    """A kind of report. Its functions are pure; those that raise say RejectedError, with a sentence that says why."""

    name: str  # bounded: a label of metrics, and what `Document.kind` says
    title: str  # as people call it: "TLS report"
    counts: str  # what its numbers are of: "sessions"
    mail: MailForm
    recognize: Callable[[Form, bytes], bool]  # whether a document could be such a report, by its form and first bytes
    root: bytes  # in XML the element that a document ends with; empty for other forms
    is_evident: Callable[[bytes], bool]  # whether a recognized document is such a report, without room to read it
    document_bytes: int  # the largest document that is read
    most_entries: int  # in all reports of one message together
    read: Callable[[Document], _Report]  # raises RejectedError
    attribute: Callable[[_Report, Opened, Envelope, Ownership], _Attribution]  # raises RejectedError: nothing is ours
    attribution_of: Callable[[_Report, Rows], _Attribution]  # that it was stored with, from the rows it then became
    claims: Callable[[_Report, Opened], Claim | None]
    # The service that DKIM keys name for such reports (s=, RFC 6376, section 3.6.1): then nothing but a signature by a
    # key for it makes a mailed report count, neither SPF nor that an operator accepts its author. Empty: these may.
    key_service: str
    posted: bool  # whether such reports come by HTTPS too, where nothing shows who sent them
    rows: Callable[[Sequence[tuple[_Report, _Attribution]], Provenance], list[Rows]]  # of the reports of one message
    tables: ReportTables
    schema: Path  # a folder of schema steps: its tables and views
    words: Mapping[str, str] = field(default_factory=dict)  # SQL that these may name, beside what all kinds may
    # At every start its tables are made to say what its views join with: words, and what the configuration says.
    write_words: Callable[[Client, Config], None] | None = None
    # What is done once reports are stored, a round at a time; each returns how many seconds its next round has time.
    # What tables keep of rows is made again where these have changed:
    roll_up: Callable[[Client, Config], float] | None = None
    # What others have to be asked is looked up, at a moment:
    look_up: Callable[[Client, Config, datetime], float] | None = None
