"""The DKIM keys that reports show in use, asked from ClickHouse now and then, for the probes of DNS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from reports.dmarc.selectors import keys_in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mailposture.checks.dkim import KeyInUse
    from reports.dmarc.selectors import Ask

log = structlog.get_logger()

_EVERY = 3600.0  # seconds: reports come once a day
_AGAIN = 60.0  # after a question without an answer


class KeysInUse:
    """Renewed in one thread, read in another; what is known stays while ClickHouse is away."""

    def __init__(self, ask: Ask, *, now: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._now = now
        self._keys: Mapping[str, tuple[KeyInUse, ...]] = {}
        self._due = now()

    def of(self, domain: str) -> tuple[KeyInUse, ...]:
        """Those of a domain of ours."""
        return self._keys.get(domain, ())

    def renew(self) -> None:
        """Ask again if it is time."""
        if self._now() < self._due:
            return
        try:
            self._keys = keys_in_use(self._ask)
        except Exception as error:  # whatever it is, the probes go on with what is known
            log.warning("the DKIM keys in use are not known", error=str(error)[:300])
            self._due = self._now() + _AGAIN
            return
        self._due = self._now() + _EVERY
