"""Which rows a panel asks for: days, and domains of teams. Views of reports have `day` and `policy_domain`."""

from __future__ import annotations

from typing import Final

from dashboards.builders.common.variables import DOMAINS, END, chosen

THIS_WEEK: Final = f"day > {END} - 8 AND day < {END}"
WEEK_BEFORE: Final = f"day > {END} - 15 AND day < {END} - 7"
"""Complete report days: the last one of the range has not ended, or is cut."""

IN_RANGE: Final = "$__dateFilter(day)"

OF_TEAM: Final = f"{DOMAINS} AND " + chosen("policy_domain", "team").replace(
    "${team:singlequote}", "SELECT policy_domain FROM domains WHERE team IN (${team:singlequote})"
)
"""Rows of the chosen domains of the chosen teams."""


def all_parked(domains: str) -> str:
    """True if none of the domains takes or sends mail. `domains`: SQL, which they are."""
    return f"(SELECT min(parked) FROM domains WHERE {domains})"
