"""Servers that many domains share, looked at once for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mailposture.checks.mx import probe_mx

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailposture.checks.mx import MxProbe
    from mailposture.checks.vantage import Vantage


class SharedServers:
    """Remembers what each server showed lately, and lets those who ask meanwhile wait for the same look.

    A thousand domains often have the same MX. Asking it a thousand times an interval shows nothing more, takes up all
    slots while it hangs, and has large mail services turn us away for connecting without ever sending mail.
    """

    def __init__(self, *, vantage: Vantage, kept: float, now: Callable[[], float] = time.monotonic) -> None:
        """`kept`: seconds that a look counts; less than the interval, so that a domain's next probe looks again."""
        self._vantage = vantage
        self._kept = kept
        self._now = now
        self._looks: dict[tuple[str, str], tuple[float, asyncio.Task[MxProbe]]] = {}  # the oldest first

    async def probe(self, host: str, address: str) -> MxProbe:
        """What the server shows now, or showed lately."""
        self._forget()
        server = (host, address)
        if server not in self._looks:
            look = asyncio.create_task(probe_mx(host, address, vantage=self._vantage))
            self._looks[server] = (self._now(), look)
        # One probe that is given up must not end the look for the others.
        return await asyncio.shield(self._looks[server][1])

    def _forget(self) -> None:
        while self._looks:
            server, (began, _) = next(iter(self._looks.items()))
            if self._now() - began < self._kept:
                return
            del self._looks[server]
