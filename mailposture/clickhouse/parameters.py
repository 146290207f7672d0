"""Many values as parameters of queries. ClickHouse takes none of more than 128 KiB (http_max_field_value_size)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from urllib.parse import quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Value = TypeVar("_Value")

_AT_ONCE: Final = 2_000
_CHARACTERS: Final = 100_000


class Names(NamedTuple):
    """Any number of names: `sql` is an array of them, by these parameters."""

    sql: str
    parameters: dict[str, Sequence[str]]


def names(parameter: str, values: Sequence[str]) -> Names:
    """All of the values in one query, in as many parameters as they need; their names begin with `parameter`."""
    parts: list[list[str]] = [[]]
    held = 0
    for value in values:
        length = len(quote_plus(f"'{value}', "))  # as a form has it, which is what is limited
        if parts[-1] and held + length > _CHARACTERS:
            parts.append([])
            held = 0
        parts[-1].append(value)
        held += length
    parameters: dict[str, Sequence[str]] = {f"{parameter}_{number}": part for number, part in enumerate(parts)}
    arrays = ", ".join(f"{{{name}:Array(String)}}" for name in parameters)
    return Names(sql=f"arrayConcat({arrays})" if len(parts) > 1 else arrays, parameters=parameters)


def in_parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """The values, in order, as few at a time as fit into one parameter when each is a number or a date."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
