"""The macros and variables of Grafana and its ClickHouse plugin, expanded as the plugin does it.

As much of them as our dashboards use; anything else is an error, so that nothing is tested half expanded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

ALL = "$__all"
_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")


def expand(sql: str, *, start: datetime, end: datetime, variables: Mapping[str, str | Sequence[str]]) -> str:
    """The SQL that is sent for a panel or a variable. `ALL` selects every value."""
    sql = _conditional_all(sql, variables)
    sql = re.sub(
        r"\$__dateFilter\((\w+)\)", rf"\1 >= toDate('{start:%Y-%m-%d}') AND \1 <= toDate('{end:%Y-%m-%d}')", sql
    )
    first, last = int(start.timestamp()), int(end.timestamp())
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= toDateTime({first}) AND \1 <= toDateTime({last})", sql)
    sql = sql.replace("$__fromTime", f"toDateTime({first})").replace("$__toTime", f"toDateTime({last})")
    return _VARIABLE.sub(lambda match: _interpolated(match, variables), sql)


def _conditional_all(sql: str, variables: Mapping[str, str | Sequence[str]]) -> str:
    """`$__conditionalAll(condition, $variable)`: the condition, or 1=1 when all is selected; the last one first."""
    name = "$__conditionalAll("
    while (start := sql.rfind(name)) >= 0:
        arguments, end = _arguments(sql, start + len(name))
        condition, variable = (argument.strip() for argument in arguments)
        value = variables[variable.removeprefix("$")]
        sql = sql[:start] + ("1=1" if value in (ALL, "") else condition) + sql[end:]
    return sql


def _arguments(sql: str, start: int) -> tuple[list[str], int]:
    """The arguments of a call whose parenthesis opens before `start`, and where it ends."""
    depth, arguments, begin = 0, [], start
    for position in range(start, len(sql)):
        character = sql[position]
        if character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif character == ")":
            return [*arguments, sql[begin:position]], position + 1
        elif character == "," and not depth:
            arguments.append(sql[begin:position])
            begin = position + 1
    raise ValueError(f"a macro does not end: {sql[start - 30 : start + 50]}")


def _interpolated(match: re.Match[str], variables: Mapping[str, str | Sequence[str]]) -> str:
    name, style = match[1] or match[3], match[2] or ""
    if name.startswith("__"):
        raise ValueError(f"unknown macro {match[0]}")
    value = variables[name]
    values = [value] if isinstance(value, str) else list(value)
    if style != "singlequote":
        raise ValueError(f"{match[0]}: a variable goes into SQL with :singlequote only")
    return ",".join("'" + each.replace("'", "\\'") + "'" for each in values)
