"""How much of what senders are sending right now may lie in memory at once."""

from __future__ import annotations

# A usual report is a few kilobytes: those are never refused because somebody else sends large ones.
_ALWAYS = 256 * 1024


class MemoryShare:
    """Counts the bytes of large messages beyond their first 256 KiB, over all connections of a listener."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def grow(self, held: int, size: int) -> int | None:
        """The new share of a message that is `size` bytes long now and held `held` so far; None if there is no room."""
        share = max(0, size - _ALWAYS)
        if share > held and self._taken + share - held > self._limit:
            return None
        self._taken += share - held
        return share

    def release(self, held: int) -> None:
        """A message is stored, or given up."""
        self._taken -= held
