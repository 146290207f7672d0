"""The DKIM keys that reports show in use: those that probes and `mailposture check` look at in DNS."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mailposture.checks.dkim import MOST_KEYS, KeyInUse
from mailposture.clickhouse.parameters import names
from mailposture.domain_names import normalize
from mailposture.records.dkim_key import key_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Ask: TypeAlias = "Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]"
"""Runs a query with parameters and returns its rows."""

_STILL_IN_USE: Final = timedelta(days=3)  # before the newest day that reports about the domain show a signature on
_QUESTION: Final = f"""
    SELECT policy_domain, dkim_domain, selector, last_day, max(last_day) OVER (PARTITION BY policy_domain) AS newest_day
    FROM dmarc_selectors
    WHERE {{which}}
    ORDER BY policy_domain, messages DESC, dkim_domain, selector
    LIMIT {MOST_KEYS} BY policy_domain
"""


def keys_in_use(ask: Ask, domains: Sequence[str] = ()) -> dict[str, tuple[KeyInUse, ...]]:
    """By domain of ours, those with most messages first; of all domains if none is named. Raises what `ask` does."""
    keys: defaultdict[str, list[KeyInUse]] = defaultdict(list)
    some = names("domains", domains)
    question = _QUESTION.format(which=f"policy_domain IN {some.sql}" if domains else "true")
    for policy_domain, domain, selector, last_day, newest_day in ask(question, some.parameters if domains else {}):
        if normalize(key_name(selector, domain)) is not None:  # else reports have something that is no name
            in_use = last_day >= newest_day - _STILL_IN_USE
            keys[policy_domain].append(
                KeyInUse(domain=domain, selector=selector, unused_since="" if in_use else str(last_day))
            )
    return {domain: tuple(some) for domain, some in keys.items()}
