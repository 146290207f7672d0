"""Comparing with the thresholds of a domain, as SQL: views, dashboards and the digest all write these.

The columns of the view `domains` are in scope. Numbers, shares and times are SQL expressions.
"""

from __future__ import annotations


def enough(number: str) -> str:
    """At least the minimum: fewer failed sessions or messages deserve no attention, and none never do."""
    return f"{number} >= greatest(minimum_sessions, 1)"


def too_large_a_share(number: str, of: str) -> str:
    """Above thresholds.failure_ratio."""
    return f"{number} > failure_ratio_threshold * ({of})"


def too_many(number: str, of: str) -> str:
    """Both."""
    return f"({enough(number)} AND {too_large_a_share(number, of)})"


def too_little_mail(number: str) -> str:
    """So few sessions or messages that more days are needed to judge them."""
    return f"{number} < minimum_sessions"


def too_old(seconds: str) -> str:
    """Reports that are missing, or late, for longer than thresholds.stale_after."""
    return f"{seconds} > stale_after_seconds"


def to_be_renewed(not_after: str, now: str) -> str:
    """A certificate that expires within thresholds.certificate_expiry."""
    return f"{not_after} < {now} + toIntervalSecond(certificate_expiry_seconds)"
