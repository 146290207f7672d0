"""From the documents of a message to its reports."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from reports.kinds import BY_NAME
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from reports.document import Document, Opened
    from reports.kind import Report, ReportKind
    from reports.rejection import Fault


class Read(NamedTuple):
    """A report, and how to go on with it."""

    kind: ReportKind[Any, Any]
    report: Report


class ReadReports(NamedTuple):
    """The reports of a message, at least one, and what is wrong with the documents that are none."""

    reports: tuple[Read, ...]
    faults: tuple[Fault, ...] = ()


def read_reports(opened: Opened) -> ReadReports:
    """The reports of a message, in order. Raises RejectedError if none can be used, or together they are too much."""
    if len(opened.documents) == 1:
        (only,) = opened.documents
        return ReadReports((_read(only),))
    reports: list[Read] = []
    faults: list[Fault] = []
    entries: Counter[str] = Counter()
    for document in opened.documents:
        try:
            read = _read(document)
        except RejectedError as error:
            faults.append(error.fault)
            continue
        reports.append(read)
        entries[read.kind.name] += read.report.entries
        if entries[read.kind.name] > read.kind.most_entries:
            raise RejectedError(
                Reason.TOO_MANY,
                f"its {len(opened.documents)} reports have more than {read.kind.most_entries} entries together; "
                "they can be imported one by one",
            )
    if not reports:
        raise RejectedError.of(*faults)
    return ReadReports(tuple(reports), tuple(faults))


def _read(document: Document) -> Read:
    kind = BY_NAME[document.kind]
    return Read(kind, kind.read(document))
