"""What somebody reads whose query ClickHouse refuses, on the real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from cli.sql_faults import explain
from mailposture.clickhouse.faults import reason

if TYPE_CHECKING:
    from engine import Storage

pytestmark = pytest.mark.slow


def said(engine: Storage, query: str, form: str = "TabSeparated") -> str:
    client = engine.client("analyst")
    with pytest.raises(ClickHouseError) as caught:
        client.raw_query(query, settings={"default_format": form})
    return explain(caught.value, query=query, client=client)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM tls_dayly", "there is no view or table tls_dayly; did you mean tls_daily?"),
        ("DESCRIBE tls_dail", "there is no view or table tls_dail; did you mean tls_daily?"),
        ("SELECT dayy FROM tls_daily", "there is no column dayy; did you mean day?"),
        ("SELECT nonsense FROM tls_daily", 'there is no column nonsense; "DESCRIBE tls_daily" lists the columns'),
        ("SELECT 1, FRM tls_daily", "there is no column FRM; the query has no FROM"),
        ("SELECT summ(1)", "there is no function summ; did you mean sum?"),
        ("SELECT toDate('x')", "Cannot parse date: expected a date in the YYYY-MM-DD or YYYYMMDD format"),
        ("SELECT throwIf(1, 'own words')", "own words"),
        ("SELECT 1; SELECT 2", "Multi-statements are not allowed: ask one query at a time"),
        ("-- nothing", "Empty query"),
        (
            "DROP TABLE tls_reports",
            "here one may only read the views and tables of mailposture, and the query needs DROP",
        ),
        ("SET max_threads = 3", "Cannot modify 'max_threads' setting in readonly mode: here one may only read"),
        ("SELECT 1 FORMAT Nonsense", "there is no output format Nonsense; TabSeparatedWithNames, "),
    ],
)
def test_the_fault_is_named_with_the_next_step_and_nothing_else(engine: Storage, query: str, words: str) -> None:
    told = said(engine, query)
    assert told.startswith(words)
    assert len(told) < 250
    for frame in ("ClickHouse exception", "DB::", "http://", "version", "FORMAT TabSeparated", "In scope"):
        assert frame not in told


def test_a_table_like_no_other_is_answered_with_the_views(engine: Storage) -> None:
    told = said(engine, "SELECT * FROM everything")
    assert told.startswith("there is no view or table everything; the views are domains, ")
    assert ", tls_domain_daily, " in told
    assert "tls_reports" not in told


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC 1", "this does not belong here:\n  SELEC 1\n        ^"),
        ("SELECT 1,\n\t2 FRM\n x y", "this does not belong here:\n   x y\n   ^"),
        ("SELECT 1 FROM", "the query ends too early:\n  SELECT 1 FROM\n               ^"),
        ("SELECT (1", "'(' is never closed:\n  SELECT (1\n         ^"),
        ("SELECT )", "this does not belong here:\n  SELECT )\n         ^"),
        ("SELECT 'éé' 'b", "single quoted string is not closed:\n  SELECT 'éé' 'b\n              ^"),
        ("SELECT \x1b[31m", "unrecognized token:\n  SELECT �[31m\n         ^"),
        (f"SELECT {'1,' * 100} )", f"this does not belong here:\n  {',1' * 18}, )\n{' ' * 40}^"),
        (f"SELECT {'1,' * 150_000} 1", f"max query size exceeded:\n  {',1' * 38}\n{' ' * 40}^"),
    ],
)
def test_a_syntax_error_is_shown_at_its_place(engine: Storage, query: str, words: str) -> None:
    assert said(engine, query) == f"syntax error, {words}"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "SELECT count() FROM numbers(1e13) SETTINGS max_execution_time = 1",
            "the query was stopped after 1 s: ask for",
        ),
        (
            "SELECT groupArray(number) FROM numbers(1e9)",
            "the query takes more memory than the 953.67 MiB that it may: ",
        ),
    ],
)
def test_a_limit_is_named_with_what_stays_below_it(engine: Storage, query: str, words: str) -> None:
    assert said(engine, query).startswith(words)


def test_an_error_of_another_form_is_left_as_it_is() -> None:
    assert reason(ClickHouseError("connection refused")) == "connection refused"
