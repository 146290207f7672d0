"""The table failure_words: what each failure means and what to do about it, for SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailposture.clickhouse.reference import ReferenceTable, add_rows, known_rows
from reports.tls.failures import ALL_MEANINGS, Meaning

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.reference import Row
    from mailposture.config.model import Config

_WORDS = ReferenceTable(
    "failure_words", ("term", "kind", "category", "severity", "title", "explanation", "action", "refuses_mail")
)


def write_failure_words(client: Client, config: Config) -> None:
    """Make failure_words say what reports/tls/failures.py says."""
    words: set[Row] = {_row(meaning) for meaning in ALL_MEANINGS}
    add_rows(client, config, _WORDS, words - known_rows(client, config, _WORDS))


def _row(meaning: Meaning) -> Row:
    return (
        meaning.term,
        str(meaning.kind),
        str(meaning.category or ""),
        str(meaning.severity),
        meaning.title,
        meaning.explanation,
        meaning.action,
        meaning.refuses_mail,
    )
