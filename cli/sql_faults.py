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
    "ACCESS_DENIED": "here one may only read the views, which SHOW TABLES lists",
    "READONLY": "here one may only read, and of the settings change max_execution_time alone, up to 120",
    "TIMEOUT_EXCEEDED": "ask for fewer days or domains, or give it up to two minutes by adding "
    "SETTINGS max_execution_time = 120",
    "MEMORY_LIMIT_EXCEEDED": "ask for fewer days, domains or columns, or sum up in the query",
    "TOO_MANY_SIMULTANEOUS_QUERIES": "wait for the others of this user, and ask again",
}


def explain(error: ClickHouseError) -> str:
    """ClickHouse's own words and code, and the next step where there is one."""
    step = _NEXT.get(getattr(error, "name", None) or "")
    return f"{reason(error)}; {step}" if step else reason(error)


def is_about_format(error: ClickHouseError) -> bool:
    """Whether it is the output format that ClickHouse does not know, of the option or of the query."""
    return getattr(error, "name", None) == "UNKNOWN_FORMAT"
