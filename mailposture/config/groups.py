"""Entries of `domains` that stand for several: `names`, or the names in a `file`, with all else in common.

They are read before anything is validated, so that what follows knows domains alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mailposture.domain_names import mail_domain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEVERAL: Final = ("names", "file")
_MOST_FAULTS: Final = 20  # of names are shown at once
_OF_ONE: Final = "token"  # which belongs to one domain


@dataclass(frozen=True, kw_only=True)
class Expanded:
    """The entries of `domains`, each about one domain."""

    entries: list[object]
    origins: list[int]  # of each the entry in the file that it is of
    faults: list[tuple[tuple[int | str, ...], str]] = field(default_factory=list)  # place below `domains`, and reason
    file_faults: list[str] = field(default_factory=list)  # of named files, with their place


def expand(entries: list[object], folder: Path) -> Expanded:
    """Put one entry per name in the place of those that stand for several; files are relative to `folder`."""
    found = Expanded(entries=[], origins=[])
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not any(entry.get(key) is not None for key in SEVERAL):
            found.entries.append(entry)
            found.origins.append(index)
            continue
        fault = _fault_of(entry)
        if fault is not None:
            found.faults.append(((index,), fault))
            continue
        common = {key: value for key, value in entry.items() if key not in SEVERAL}
        for name in dict.fromkeys(_names(entry, index, folder, found)):
            found.entries.append({**common, "name": name})
            found.origins.append(index)
    del found.faults[_MOST_FAULTS:], found.file_faults[_MOST_FAULTS:]
    return found


def _fault_of(entry: dict[object, Any]) -> str | None:
    given = [key for key in ("name", *SEVERAL) if entry.get(key) is not None]
    if len(given) > 1:
        return f"has {' and '.join(given)}; give one of them, and the other an entry of its own"
    if entry.get(_OF_ONE) is not None:
        return "has a token, which belongs to one domain; give that domain an entry of its own, with `name`"
    return None


def _names(entry: dict[object, Any], index: int, folder: Path, found: Expanded) -> Iterator[str]:
    """The names of an entry that can be read; the others become faults."""
    names = entry.get("names")
    if names is None:
        if isinstance(entry["file"], str):
            yield from _names_in(folder / entry["file"], index, found)
        else:
            found.faults.append(((index, "file"), "must be a path; put it in quotes"))
        return
    if not isinstance(names, list):
        found.faults.append(((index, "names"), "must be a list of domains, such as [example.com, example.org]"))
        return
    for place, name in enumerate(names):
        try:
            yield mail_domain(name if isinstance(name, str) else "")
        except ValueError as error:
            found.faults.append(((index, "names", place), str(error)))


def _names_in(path: Path, index: int, found: Expanded) -> Iterator[str]:
    """One name per line; what follows a `#` is a comment."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
        found.faults.append(((index, "file"), f"{path} cannot be read ({reason}); name a file with a domain per line"))
        return
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        try:
            yield mail_domain(name)
        except ValueError as error:
            found.file_faults.append(f"{path}:{number}: {error}")
