"""Values as parameters of queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Value = TypeVar("_Value")

_AT_ONCE: Final = 2_000  # ClickHouse takes no parameter of more than 128 KiB


def in_parts(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """The values, in order, as few at a time as fit into one parameter when each is a number or a date."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
