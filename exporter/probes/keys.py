"""The DKIM keys that reports show in use, asked from ClickHouse now and then, for the probes of DNS."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from mailposture.checks.dkim import MOST_KEYS, KeyInUse
from mailposture.domain_names import normalize
from mailposture.records.dkim_key import key_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = structlog.get_logger()

_EVERY = 3600.0  # seconds: reports come once a day
_AGAIN = 60.0  # after a question without an answer
_STILL_IN_USE = timedelta(days=3)  # before the newest day that reports about the domain show a signature on

_QUESTION = f"""
    SELECT policy_domain, dkim_domain, selector, last_day, max(last_day) OVER (PARTITION BY policy_domain) AS newest_day
    FROM dmarc_selectors
    ORDER BY policy_domain, messages DESC, dkim_domain, selector
    LIMIT {MOST_KEYS} BY policy_domain
"""


class KeysInUse:
    """Renewed in one thread, read in another; what is known stays while ClickHouse is away."""

    def __init__(
        self,
        ask: Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
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
            rows = self._ask(_QUESTION, {})
        except Exception as error:  # whatever it is, the probes go on with what is known
            log.warning("the DKIM keys in use are not known", error=str(error)[:300])
            self._due = self._now() + _AGAIN
            return
        self._due = self._now() + _EVERY
        keys: defaultdict[str, list[KeyInUse]] = defaultdict(list)
        for policy_domain, domain, selector, last_day, newest_day in rows:
            if normalize(key_name(selector, domain)) is not None:  # else reports have something that is no name
                in_use = last_day >= newest_day - _STILL_IN_USE
                keys[policy_domain].append(
                    KeyInUse(domain=domain, selector=selector, unused_since="" if in_use else str(last_day))
                )
        self._keys = {domain: tuple(some) for domain, some in keys.items()}
