"""Domains that a report is about, in normal form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mailposture.domain_names import normalize_typed
from mailposture.quoting import quoted
from reports.values import domain_name

if TYPE_CHECKING:
    from reports.values import Remarks

_LONGEST: Final = 100  # characters of a name with U-labels, which takes up to 0.2 ms
_MOST: Final = 20  # of them in one report
_REMEMBERED: Final = 1_000


def bare(value: str) -> str:
    """A domain, or that of an address, as it is written."""
    return value.strip().strip("<>").rpartition("@")[2]


class Names:
    """Of one report. Some reporters write U-labels (`bücher.example`) where A-labels belong (RFC 9990, section 2)."""

    def __init__(self, remarks: Remarks) -> None:
        self._remarks = remarks
        self._known: dict[str, str] = {}  # as written → normal form: one sender's records all have the same
        self._of_u_labels = 0

    def read(self, value: str, field: str) -> str:
        """A domain, or that of an address; empty, with a remark, if it is neither."""
        name = self._known.get(value)
        if name is None:
            name = self._read(value, field)
            if len(self._known) < _REMEMBERED:
                self._known[value] = name
        return name

    def _read(self, value: str, field: str) -> str:
        written = bare(value)
        name = domain_name(written)
        if name is None and not written.isascii() and len(written) <= _LONGEST and self._of_u_labels < _MOST:
            self._of_u_labels += 1
            name = normalize_typed(written)
        if name is None and written:
            self._remarks.add(f"{field} {quoted(value)} is no domain name and was left out")
        return name or ""
