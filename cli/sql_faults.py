"""What ClickHouse says about a query that it refuses, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailposture.clickhouse.faults import reason

if TYPE_CHECKING:
    from clickhouse_connect.driver.exceptions import ClickHouseError

_NEXT = {
    "UNKNOWN_TABLE": "SHOW TABLES lists the views",
    "UNKNOWN_IDENTIFIER": "DESCRIBE and the name of a view list its columns",
    "UNKNOWN_FUNCTION": "https://clickhouse.com/docs/sql-reference/functions lists them",
    "UNKNOWN_FORMAT": "TabSeparatedWithNames, CSVWithNames, JSON, PrettyCompact and Vertical are some, "
    "https://clickhouse.com/docs/interfaces/formats lists all",
    "ACCESS_DENIED": "here one may only read the views of mailposture, and rejections",
    "READONLY": "here one may only read, and of the settings change max_execution_time alone, up to 120",
    "TIMEOUT_EXCEEDED": "ask for fewer days or domains, or give it up to two minutes by adding "
    "SETTINGS max_execution_time = 120",
    "MEMORY_LIMIT_EXCEEDED": "ask for fewer days, domains or columns, or sum up in the query",
    "TOO_MANY_SIMULTANEOUS_QUERIES": "wait for the others of this user, and ask again",
}


def explain(error: ClickHouseError) -> str:
    """ClickHouse's own words and code, and the next step where there is one."""
    name = getattr(error, "name", None) or ""
    words = f"{reason(error)} ({getattr(error, 'code', None)}{name and f' {name}'})"
    return f"{words}; {_NEXT[name]}" if name in _NEXT else words


def is_about_format(error: ClickHouseError, form: str) -> bool:
    """Whether there is no output format of that name; what ClickHouse guesses after the name is far off."""
    return reason(error).partition(".")[0] == f"Unknown format {form}"
