"""The domains that the demo's reports are about."""

from dataclasses import dataclass
from typing import Final

from mailposture.config.domains import PolicyMode


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeChange:
    """From this many days ago on, the domain's MTA-STS policy has this mode."""

    days_ago: int
    mode: PolicyMode


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDomain:
    """A domain, how much mail it gets, and what it publishes."""

    name: str
    team: str
    sessions: int  # from everybody on an average weekday
    weekend: float  # sessions on a Saturday or Sunday, compared with a weekday
    mx: dict[str, float]  # host to share of the sessions, preferred host first
    sts: tuple[ModeChange, ...] = ()  # oldest first; none: no MTA-STS policy
    dane: bool = False  # the MX hosts have TLSA records

    def sts_mode(self, days_ago: int) -> PolicyMode | None:
        """The mode of the MTA-STS policy on a day."""
        return next((change.mode for change in reversed(self.sts) if change.days_ago >= days_ago), None)

    def receiving_ip(self, mx: str) -> str:
        """The address of an MX host."""
        return f"203.0.113.{DOMAINS.index(self) * 16 + list(self.mx).index(mx) + 1}"


_ALWAYS: Final = 10_000

DOMAINS: Final[tuple[DemoDomain, ...]] = (
    DemoDomain(
        name="shop.example",
        team="commerce",
        sessions=9_000,
        weekend=1.15,
        mx={"mx1.shop.example": 0.7, "mx2.shop.example": 0.3},
        sts=(ModeChange(days_ago=_ALWAYS, mode=PolicyMode.ENFORCE),),
    ),
    DemoDomain(
        name="bank.example",
        team="payments",
        sessions=4_000,
        weekend=0.25,
        mx={"mx1.bank.example": 0.6, "mx2.bank.example": 0.4},
        sts=(ModeChange(days_ago=_ALWAYS, mode=PolicyMode.ENFORCE),),
    ),
    DemoDomain(
        name="news.example",
        team="media",
        sessions=2_500,
        weekend=0.7,
        mx={"mx1.news.example": 1.0},
        sts=(ModeChange(days_ago=_ALWAYS, mode=PolicyMode.TESTING),),
    ),
    DemoDomain(
        name="travel.example",
        team="commerce",
        sessions=1_500,
        weekend=0.9,
        mx={"mx1.travel.example": 0.88, "mx-old.travel.example": 0.12},
        sts=(
            ModeChange(days_ago=_ALWAYS, mode=PolicyMode.TESTING),
            ModeChange(days_ago=7, mode=PolicyMode.ENFORCE),
        ),
    ),
    DemoDomain(
        name="univ.example",
        team="campus",
        sessions=1_200,
        weekend=0.35,
        mx={"mx1.univ.example": 0.65, "mx2.univ.example": 0.35},
        sts=(ModeChange(days_ago=_ALWAYS, mode=PolicyMode.ENFORCE),),
        dane=True,
    ),
    DemoDomain(
        name="clinic.example",
        team="health",
        sessions=800,
        weekend=0.6,
        mx={"mx1.clinic.example": 0.6, "mx2.clinic.example": 0.4},
    ),
    DemoDomain(
        name="library.example",
        team="campus",
        sessions=70,
        weekend=0.5,
        mx={"mx1.library.example": 1.0},
        sts=(ModeChange(days_ago=_ALWAYS, mode=PolicyMode.TESTING),),
    ),
)

PARKED: Final[tuple[DemoDomain, ...]] = (
    DemoDomain(name="oldbank.example", team="payments", sessions=0, weekend=1.0, mx={}),
)
"""Those that neither take nor send mail: DMARC reports alone are about them."""
