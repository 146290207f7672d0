"""The files of a folder of ours, for tests that read them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def files_in(folder: Path, *suffixes: str) -> Iterator[Path]:
    """Those with one of these suffixes; nothing in hidden folders, where tools keep what is not ours."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in suffixes and not hidden:
            yield path
