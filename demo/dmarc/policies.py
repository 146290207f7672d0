"""The DMARC policies of the demo's domains, as reporters find them in DNS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from demo.domains import DemoDomain

_ALWAYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """From this many days ago on, p and sp of the domain are these."""

    days_ago: int
    p: str
    weaker_sp: str = ""  # where names below the domain have another policy

    @property
    def sp(self) -> str:
        return self.weaker_sp or self.p

    @property
    def applied(self) -> tuple[str, str, str]:
        """What receivers do for mail of the domain, of names below it, and of those that do not exist."""
        return self.p, self.sp, self.sp


_POLICIES: Final[dict[str, tuple[PolicyChange, ...]]] = {
    "shop.example": (PolicyChange(_ALWAYS, "none"),),
    "bank.example": (PolicyChange(_ALWAYS, "reject"),),
    "news.example": (PolicyChange(_ALWAYS, "quarantine"),),
    "travel.example": (PolicyChange(_ALWAYS, "none"),),
    "univ.example": (PolicyChange(_ALWAYS, "none"), PolicyChange(16, "quarantine")),
    "clinic.example": (PolicyChange(_ALWAYS, "none"),),
    "library.example": (PolicyChange(_ALWAYS, "quarantine"),),
    "oldbank.example": (PolicyChange(_ALWAYS, "reject"), PolicyChange(12, "reject", weaker_sp="none")),
}


def policy(domain: DemoDomain, days_ago: int) -> PolicyChange:
    """What the domain's record says on a day."""
    return next(change for change in reversed(_POLICIES[domain.name]) if change.days_ago >= days_ago)
