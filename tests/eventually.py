"""Waiting for what must come: the only place of the tests that does.

That something does not come is never shown by a pause: wait for what comes after it instead, on the same way.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Found = TypeVar("Found")

_WITHIN = 60.0  # seconds; only a failing test takes that long
_EVERY = 0.05


def eventually(what: str, look: Callable[[], Found | None], *, within: float = _WITHIN) -> Found:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {within:g} s in vain: {what}"
        time.sleep(_EVERY)
    return found


async def eventually_async(what: str, look: Callable[[], Awaitable[Found | None]], *, within: float = _WITHIN) -> Found:
    """The same for a coroutine."""
    deadline = time.monotonic() + within
    while not (found := await look()):
        assert time.monotonic() < deadline, f"waited {within:g} s in vain: {what}"
        await asyncio.sleep(_EVERY)
    return found
