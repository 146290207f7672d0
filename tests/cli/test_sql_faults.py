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
        (
            "SELECT nonsense FROM tls_domain_daily",
            "47 UNKNOWN_IDENTIFIER",
            "DESCRIBE and the name of a view list its columns",
        ),
        ("SELECT summ(1)", "46 UNKNOWN_FUNCTION", "https://clickhouse.com/docs/sql-reference/functions lists them"),
        ("SELECT 1 FORMAT Nonsense", "73 UNKNOWN_FORMAT", "TabSeparatedWithNames, CSVWithNames, "),
        (
            "DROP TABLE mailposture_tables.tls_reports",
            "497 ACCESS_DENIED",
            "here one may only read the views, which SHOW TABLES lists",
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
    number, name = code.split()
    assert said.startswith(f"Code: {number}. DB::Exception: ")
    assert f" ({name}); {step}" in said
    assert said.startswith(reason(error))


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT *\nFROM tls_dayly", "Unknown table expression identifier 'tls_dayly'"),
        ("SELECT toDate('x')", "Cannot parse date: expected a date in the YYYY-MM-DD or YYYYMMDD format"),
        ("SELECT throwIf(1, 'own words')", "own words"),
        ("SELECT throwIf(1, 'two\nlines')", "DB::Exception: two"),
        ("SELECT 1; SELECT 2", "Syntax error (Multi-statements are not allowed)"),
        ("-- nothing", "Empty query"),
        ("SELEC 1", "Syntax error: failed at position 7 (1): 1"),
        ("SELECT \x1b[31m", "Syntax error: failed at position 8 (\ufffd)"),
        (f"SELECT {'1,' * 150_000} 1", "Max query size exceeded"),
    ],
)
def test_the_rest_is_the_first_line_of_what_clickhouse_says(engine: Storage, query: str, words: str) -> None:
    said = explain(fault(engine, query))
    assert said.startswith("Code: ")
    assert words in said
    assert len(said) <= 600
    for other in ("\n", "http://", "version", "FORMAT TabSeparated", "\x1b"):
        assert other not in said


def test_an_unknown_format_is_told_from_other_faults(engine: Storage) -> None:
    assert is_about_format(fault(engine, "SELECT 1", "Wrong"))
    assert is_about_format(fault(engine, "SELECT 1 FORMAT Nonsense"))
    assert not is_about_format(fault(engine, "SELEC 1", "Wrong"))


def test_an_error_of_another_form_is_left_as_it_is() -> None:
    assert reason(ClickHouseError("connection refused")) == "connection refused"
