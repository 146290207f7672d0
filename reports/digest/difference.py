"""What is otherwise in a DNS record, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST: Final = 80  # characters of each side
_AROUND: Final = 12  # characters that two sides have in common before they differ


def difference(before: str, after: str) -> str:
    """What was taken out and what was put in, without what both have at their ends; empty: there is no record."""
    if before == after:
        return "changed, and changed back"
    if not before:
        return f"new: {_short(after)}"
    if not after:
        return f"gone; was {_short(before)}"
    old, new = before.split(), after.split()
    first = _in_common(old, new)
    last = _in_common(old[first:][::-1], new[first:][::-1])
    was, now = (" ".join(words[first : len(words) - last]) for words in (old, new))
    if not was:
        return f"added {_short(now)}" if now else f"{_short(' '.join(new))}, written otherwise"
    if not now:
        return f"taken out {_short(was)}"
    # Two keys differ somewhere in the middle of one long word.
    skipped = _in_common(was, now) - _AROUND if len(was) > _LONGEST or len(now) > _LONGEST else 0
    return f"{_short(was, skipped)} → {_short(now, skipped)}"


def _in_common(some: Sequence[str], others: Sequence[str]) -> int:
    """How many begin both."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(some), len(others)))


def _short(text: str, skipped: int = 0) -> str:
    shown = f"…{text[skipped:]}" if skipped > 0 else text
    return clean(shown, _LONGEST) + ("…" if len(shown) > _LONGEST else "")
