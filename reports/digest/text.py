"""A digest as plain text, for a terminal and for readers of mail that show no HTML."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reports.digest.page import Entry, Line, Page

_WIDTH: Final = 76
_DAYS: Final = {"none": "·", "good": "▁", "fair": "▄", "bad": "█"}


def as_text(page: Page) -> str:
    """Lines of at most 76 characters where words allow it."""
    return "\n".join(_lines(page)).rstrip() + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield f"{page.title}, {page.week}"
    yield ""
    yield from _wrapped(page.verdict)
    if page.quiet:
        for line in page.quiet:
            yield from _wrapped(line)
    else:
        yield from _sections(page)
    if page.acknowledged:
        yield ""
        yield from _wrapped(page.acknowledged)
    if page.link:
        yield from ("", f"Dashboards: {page.link}")


def _sections(page: Page) -> Iterator[str]:
    if page.problems:
        yield from _heading("What needs attention")
        for entry in page.problems:
            yield from _entry(entry)
        yield from _wrapped(page.more_problems)
    if page.notes:
        yield from _heading("When there is time")
        for entry in page.notes:
            about = f" ({entry.facts})" if entry.facts else ""
            yield from _wrapped(f"{entry.domain}: {entry.title}{about}", first="- ", others="  ")
        yield from _wrapped(page.more_notes)
    yield from _heading("What changed")
    for group in page.changes:
        yield f"{group.title}:"
        for line in group.lines:
            yield from _wrapped(line, first="- ", others="  ")
    yield from _wrapped(page.nothing_changed)
    yield from _heading("Domains")
    yield from _table(page.lines)
    yield from _wrapped(page.more_lines)
    yield from _heading("Who reports")
    for line in page.reporting:
        yield from _wrapped(line)


def _heading(words: str) -> Iterator[str]:
    yield from ("", words.upper())


def _entry(entry: Entry) -> Iterator[str]:
    yield from _wrapped(f"{entry.when}: {entry.domain}: {entry.title}", first="* ", others="  ")
    yield from _wrapped(entry.facts, first="  ", others="  ")
    yield from _wrapped(entry.action, first="  → ", others="    ")


def _table(lines: Iterable[Line]) -> Iterator[str]:
    known = tuple(lines)
    width = min(32, max((len(line.domain) for line in known), default=0))
    of_each = f"{'trend':>7} days     "
    yield f"{'domain':{width}}  {'TLS':>8} {of_each}{'own mail':>8} {of_each}forgeries blocked"
    for line in known:
        if len(line.domain) > width:
            yield line.domain
        name = line.domain if len(line.domain) <= width else ""
        forged = ", ".join(filter(None, (line.blocked, f"{line.delivered} DELIVERED" if line.delivered else "")))
        yield (
            f"{name:{width}}  {line.tls:>8} {line.tls_trend:>7} {_days(line.tls_days)}"
            f"  {line.own:>8} {line.own_trend:>7} {_days(line.own_days)}  {forged}"
        ).rstrip()
    yield from _wrapped(
        "TLS: share of sessions to the domain that were encrypted. Own mail: share of yours that passes DMARC. Trend: "
        "percentage points against the week before. Days: ▁ good, ▄ some failures, █ as bad as an alert, · no reports."
    )


def _days(days: Iterable[str]) -> str:
    return "".join(_DAYS[each] for each in days)


def _wrapped(text: str, *, first: str = "", others: str = "") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False, break_long_words=False
    )
