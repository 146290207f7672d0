"""Whether a spool takes mail: it believes for a second what it saw last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from collector.spool import SpoolFullError

if TYPE_CHECKING:
    from collector.spool import Spool


def has_room(spool: Spool) -> bool:
    try:
        spool.check_room()
    except SpoolFullError:
        return False
    return True
