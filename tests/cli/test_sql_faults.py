"""What somebody reads whose query ClickHouse refuses, on the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from cli.sql_faults import explain, is_about_format
from mailposture.clickhouse.faults import reason

if TYPE_CHECKING:
    from engine import Storage

pytestmark = pytest.mark.slow


def fault(engine: Storage, query: str, form: str = "TabSeparated") -> ClickHouseError:
    with pytest.raises(ClickHouseError) as caught:
        engine.client("analyst").raw_query(query, settings={"default_format": form})
    return caught.value


@pytest.mark.parametrize(
    ("query", "code", "step"),
    [
        ("SELECT * FROM tls_dayly", "60 UNKNOWN_TABLE", "SHOW TABLES lists the views"),
        ("SELECT nonsense FROM tls_daily", "47 UNKNOWN_IDENTIFIER", "DESCRIBE and the name of a view list its columns"),
        ("SELECT summ(1)", "46 UNKNOWN_FUNCTION", "https://clickhouse.com/docs/sql-reference/functions lists them"),
        ("SELECT 1 FORMAT Nonsense", "73 UNKNOWN_FORMAT", "TabSeparatedWithNames, CSVWithNames, "),
        (
            "DROP TABLE mailposture_tables.tls_reports",
            "497 ACCESS_DENIED",
            "here one may only read the views of mailposture, and rejections",
        ),
        ("SET max_threads = 3", "164 READONLY", "here one may only read, "),
        (
            "SELECT count() FROM numbers(1e13) SETTINGS max_execution_time = 1",
            "159 TIMEOUT_EXCEEDED",
            "ask for fewer days or domains, ",
        ),
        ("SELECT groupArray(number) FROM numbers(1e9)", "241 MEMORY_LIMIT_EXCEEDED", "ask for fewer days, domains "),
    ],
)
def test_the_code_is_named_with_the_next_step(engine: Storage, query: str, code: str, step: str) -> None:
    error = fault(engine, query)
    said = explain(error)
    assert said.startswith(f"{reason(error)} ({code}); {step}")
    assert len(said) < 350


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "SELECT * FROM tls_dayly",
            "Unknown table expression identifier 'tls_dayly'. Maybe you meant mailposture.tls_daily?",
        ),
        ("SELECT toDate('x')", "Cannot parse date: expected a date in the YYYY-MM-DD or YYYYMMDD format"),
        ("SELECT throwIf(1, 'own words')", "own words"),
        ("SELECT 1; SELECT 2", "Syntax error (Multi-statements are not allowed)"),
        ("-- nothing", "Empty query"),
        ("SELEC 1", "Syntax error: failed at position 7 (1): 1"),
        ("SELECT 1 FROM", "Syntax error: failed at position 14 (end of query)"),
        ("SELECT \x1b[31m", "Syntax error: failed at position 8 (\ufffd)"),
        (f"SELECT {'1,' * 150_000} 1", "Max query size exceeded"),
    ],
)
def test_the_rest_is_said_in_the_words_of_clickhouse_without_its_frames(
    engine: Storage, query: str, words: str
) -> None:
    said = explain(fault(engine, query))
    assert words in said
    assert "\n" not in said
    for frame in ("ClickHouse exception", "DB::", "http://", "version", "FORMAT TabSeparated", "In scope", "\x1b"):
        assert frame not in said


def test_a_wrong_format_of_the_option_is_told_from_one_of_the_query(engine: Storage) -> None:
    assert is_about_format(fault(engine, "SELECT 1", "Wrong"), "Wrong")
    assert not is_about_format(fault(engine, "SELECT 1 FORMAT Nonsense", "Wrong"), "Wrong")
    assert not is_about_format(fault(engine, "SELEC 1", "Wrong"), "Wrong")


def test_an_error_of_another_form_is_left_as_it_is() -> None:
    assert reason(ClickHouseError("connection refused")) == "connection refused"
