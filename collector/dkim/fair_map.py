"""A bounded map of names that no organization can use up alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class FairMap(Generic[_Value]):
    """Values by name, `capacity` of them, of one organization at most `share`: what was not used for longest goes."""

    def __init__(self, *, capacity: int, share: int) -> None:
        self._capacity = capacity
        self._share = share
        self._entries: OrderedDict[str, tuple[str, _Value]] = OrderedDict()
        self._names_of: dict[str, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str) -> _Value | None:
        """The value of a name, which counts as a use of it."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        self._entries.move_to_end(name)
        self._names_of[entry[0]].move_to_end(name)
        return entry[1]

    def put(self, name: str, organization: str, value: _Value) -> list[_Value]:
        """Set the value of a name; returns what had to go for it."""
        self.pop(name)
        self._entries[name] = organization, value
        names = self._names_of.setdefault(organization, OrderedDict())
        names[name] = None
        gone = [next(iter(names))] if len(names) > self._share else []
        if len(self._entries) - len(gone) > self._capacity:
            gone.append(next(iter(self._entries)))
        return [value for _, value in map(self._remove, gone)]

    def pop(self, name: str) -> _Value | None:
        """Remove a name; returns its value, if it had one."""
        return self._remove(name)[1] if name in self._entries else None

    def _remove(self, name: str) -> tuple[str, _Value]:
        organization, value = self._entries.pop(name)
        names = self._names_of[organization]
        del names[name]
        if not names:
            del self._names_of[organization]
        return organization, value
