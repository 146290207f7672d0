"""The MTA-STS policies that senders keep while they cannot fetch them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailposture.records.mta_sts import Policy


class KeptPolicies:
    """Remembers each policy for max_age since it was last fetched, as senders do (RFC 8461, section 3.3).

    When one box loses its certificates, policy host and MX fail together. Senders go on to enforce what they have and
    refuse the MX, so the mode must stay known: it is what makes a bad certificate of an MX an emergency.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[str, tuple[Policy, float]] = {}

    def fetched(self, domain: str, policy: Policy) -> None:
        """Keep it from now on, instead of the one before."""
        self._kept[domain] = policy, self._now() + policy.max_age

    def of(self, domain: str) -> Policy | None:
        """The policy that senders may still have."""
        policy, until = self._kept.get(domain, (None, 0.0))
        return policy if self._now() < until else None
