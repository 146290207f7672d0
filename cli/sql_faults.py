"""What ClickHouse says about a query that it refuses, for the person who typed it.

What stays of its errors is the place in the query, the reason and what to do next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mailposture.clickhouse.faults import reason
from mailposture.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver import Client
    from clickhouse_connect.driver.exceptions import ClickHouseError

_NEAR = re.compile(r"Maybe you meant:? (?P<names>\[[^\]]*\]|[\w.]+)")
_NAME = re.compile(r"[`'](?P<quoted>.+?)[`']|Table (?P<bare>\S+) does not exist")
_SYNTAX = re.compile(
    r"(?:(?P<why>[^:(]*?)(?: \([^)]*\))?: )?Syntax error(?: \((?P<rule>[^)]*)\))?: "
    r"failed at position (?P<place>\d+) (?P<end>\(end of query\))?"
)
_UNCLOSED = re.compile(r"Unmatched parentheses: (?P<bracket>'[(\[{]') at position (?P<place>\d+)")
_FORMAT = re.compile(r"Unknown format (?P<name>[^.]*)")
_READ_FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
_SHOWN = 76  # of the line of a query, so that the mark below it stays below it in a terminal


def explain(error: ClickHouseError, *, query: str, client: Client) -> str:
    """Say what is wrong with a query, and what to do next; the client may be asked which views there are."""
    words = _WORDS.get(getattr(error, "name", None) or "")
    return words(reason(error), query, client) if words else reason(error)


def _unknown_table(why: str, _: str, client: Client) -> str:
    if near := _near(why):
        return f"there is no view or table {_named(why, client)}; did you mean {near}?"
    views = client.raw_query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' ORDER BY name"
    )
    return f"there is no view or table {_named(why, client)}; the views are {', '.join(views.decode().split())}"


def _unknown_column(why: str, query: str, client: Client) -> str:
    source = _READ_FROM.search(query)
    columns = f'"DESCRIBE {source[1]}" lists the columns' if source else "the query has no FROM"
    near = _near(why)
    return f"there is no column {_named(why, client)}; {f'did you mean {near}?' if near else columns}"


def _unknown_function(why: str, _: str, client: Client) -> str:
    near = _near(why)
    manual = "https://clickhouse.com/docs/sql-reference/functions lists them"
    return f"there is no function {_named(why, client)}; {f'did you mean {near}?' if near else manual}"


def unknown_format(error: Exception) -> str:
    """The output format that an error says there is none of, or empty; ClickHouse's guesses after it are far off."""
    return _format_in(reason(error))


def _format_in(why: str) -> str:
    found = _FORMAT.match(why)
    return found["name"] if found else ""


def _unknown_format(why: str, *_: object) -> str:
    return (
        f"there is no output format {_format_in(why)}; TabSeparatedWithNames, CSVWithNames, JSON, "
        "PrettyCompact and Vertical are some, https://clickhouse.com/docs/interfaces/formats lists all"
    )


def _denied(why: str, *_: object) -> str:
    grant = why.partition("necessary to have the grant ")[2].partition("(")[0]
    return f"here one may only read the views and tables of mailposture, and the query needs {grant or 'more'}"


def _setting(why: str, *_: object) -> str:
    return f"{why}: here one may only read, and of the settings change max_execution_time alone, up to 120"


def _too_slow(why: str, *_: object) -> str:
    limit = re.search(r"maximum: (\d+)", why)
    after = f" after {int(limit[1]) // 1000} s" if limit else ""
    return (
        f"the query was stopped{after}: ask for fewer days or domains, or give it up to two minutes by adding "
        "SETTINGS max_execution_time = 120"
    )


def _too_much_memory(why: str, *_: object) -> str:
    limit = re.search(r"maximum: ([\d.]+ \w+)", why)
    most = f"the {limit[1]} that it may" if limit else "there is"
    return f"the query takes more memory than {most}: ask for fewer days, domains or columns, or sum up in the query"


def _too_many(*_: object) -> str:
    return "too many queries run at the same time as this user: wait for them, and ask again"


def _syntax(why: str, query: str, _: Client) -> str:
    found = _SYNTAX.match(why)
    if found is None:
        return why
    if found["rule"]:
        return f"{found['rule']}: ask one query at a time, without `;` between"
    place, fault = int(found["place"]), found["why"] or "this does not belong here"
    if opened := _UNCLOSED.search(why):
        place, fault = int(opened["place"]), f"{opened['bracket']} is never closed"
    elif found["end"]:
        fault = "the query ends too early"
    before = query.encode()[: place - 1].decode(errors="ignore")
    return f"syntax error, {fault[0].lower()}{fault[1:]}:\n{_marked(query, len(before))}"


def _marked(query: str, place: int) -> str:
    """The line of a query that holds a place, and a mark below the place."""
    start = query.rfind("\n", 0, place) + 1
    line = printable(query[start:].partition("\n")[0]).replace("\t", " ")
    first = max(0, place - start - _SHOWN // 2)
    return f"  {line[first : first + _SHOWN]}\n  {' ' * (place - start - first)}^"


def _named(why: str, client: Client) -> str:
    name = _NAME.search(why)
    return (name["quoted"] or name["bare"]).removeprefix(f"{client.database}.") if name else "of that name"


def _near(why: str) -> str:
    """What ClickHouse thinks was meant, or nothing."""
    near = _NEAR.search(why)
    return " or ".join(name.rpartition(".")[2] for name in re.findall(r"[\w.]+", near["names"])) if near else ""


_WORDS: dict[str, Callable[[str, str, Client], str]] = {
    "UNKNOWN_TABLE": _unknown_table,
    "UNKNOWN_IDENTIFIER": _unknown_column,
    "UNKNOWN_FUNCTION": _unknown_function,
    "UNKNOWN_FORMAT": _unknown_format,
    "ACCESS_DENIED": _denied,
    "READONLY": _setting,
    "TIMEOUT_EXCEEDED": _too_slow,
    "MEMORY_LIMIT_EXCEEDED": _too_much_memory,
    "TOO_MANY_SIMULTANEOUS_QUERIES": _too_many,
    "SYNTAX_ERROR": _syntax,
}
