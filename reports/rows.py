"""The rows that a report becomes, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from reports.limits import WARNINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime


class ReportRow(Protocol):
    """A report's own row: the columns that every kind of report has. All others differ."""

    @property
    def day(self) -> date: ...  # a column
    @property
    def report_key(self) -> int: ...  # identity of the report: copies have the same
    @property
    def content_key(self) -> int: ...
    @property
    def reporter(self) -> str: ...
    @property
    def reporter_proven(self) -> bool: ...
    @property
    def submitter(self) -> str: ...  # whom the message says it is from, or empty
    @property
    def period_end(self) -> datetime: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def source(self) -> str: ...
    @property
    def name(self) -> str: ...  # of where it came from: of a file, its path
    @property
    def trust(self) -> str: ...
    @property
    def dkim_domain(self) -> str: ...
    @property
    def policy_domains(self) -> tuple[str, ...]: ...
    @property
    def warnings(self) -> tuple[str, ...]: ...
    @property
    def original(self) -> bytes: ...
    @property
    def version(self) -> int: ...  # of two copies the higher is kept: the rank of its trust
    @property
    def _replace(self) -> Callable[..., Self]: ...  # as a NamedTuple has it


class Rows(NamedTuple):
    """All rows of one report."""

    kind: str
    report: ReportRow
    parts: tuple[tuple[Any, ...], ...]  # those of the kind's other tables, in the order of ReportKind.tables.parts


def with_warnings(rows: Rows, warnings: tuple[str, ...]) -> Rows:
    """The rows of a report beside which there was something odd."""
    if not warnings:
        return rows
    return rows._replace(report=rows.report._replace(warnings=shortened(rows.report.warnings + warnings)))


def shortened(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """The first of them, and how many more there are."""
    more = len(warnings) - WARNINGS
    return (*warnings[:WARNINGS], f"and {more} more") if more > 0 else warnings
