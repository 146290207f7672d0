"""The demo's month of DMARC reports. The same for the same day, always; and the numbers of stories on all days."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from demo.dmarc.policies import PolicyChange, policy
from demo.dmarc.reporters import REPORTERS, DmarcStyle, Reporter
from demo.dmarc.stories import Stream, streams
from demo.domains import DOMAINS, PARKED, DemoDomain
from demo.month import DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcReport:
    """What one reporter says about one day and domain."""

    reporter: Reporter
    domain: DemoDomain
    day: date
    policy: PolicyChange
    records: tuple[tuple[Stream, int], ...]  # with the number of messages

    def applied(self, stream: Stream) -> str:
        """The policy that this reporter applies to messages: sp below the domain, if it reads that."""
        below = stream.header_from != self.domain.name and self.reporter.style is not DmarcStyle.YAHOO
        return self.policy.sp if below else self.policy.p


def dmarc_reports(today: date) -> Iterator[DmarcReport]:
    """The reports about the days before today (UTC), oldest day first."""
    for days_ago in range(DAYS, 0, -1):
        day = today - timedelta(days=days_ago)
        for reporter in REPORTERS:
            for domain in (*DOMAINS, *PARKED):
                if reporter.reports(domain, days_ago):
                    yield DmarcReport(
                        reporter=reporter,
                        domain=domain,
                        day=day,
                        policy=policy(domain, days_ago),
                        records=tuple(_records(reporter, domain, day, days_ago)),
                    )


def _records(reporter: Reporter, domain: DemoDomain, day: date, days_ago: int) -> Iterator[tuple[Stream, int]]:
    chance = random.Random(f"mailposture demo {day} {reporter.sender.domain} {domain.name}")  # noqa: S311
    weekend = domain.weekend if day.weekday() >= 5 else 1.0
    for stream in streams(domain, days_ago):
        rhythm = weekend * chance.uniform(0.85, 1.15) if stream.own_rhythm else 1.0
        if messages := round(stream.messages * reporter.share * rhythm):
            yield stream, messages
