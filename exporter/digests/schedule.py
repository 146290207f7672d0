"""When digests are due, and to whom they go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from mailposture.config.scope import EVERY_DOMAIN, Scope, of_team
from reports.digest.week import Week

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailposture.config.digest import Digest
    from mailposture.config.model import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """A digest and its recipients."""

    scope: Scope  # of a team, or of all
    recipients: tuple[str, ...]


def mailings(config: Config, digest: Digest) -> Iterator[Mailing]:
    """All digests that are mailed in a week."""
    if digest.recipients:
        yield Mailing(scope=EVERY_DOMAIN, recipients=digest.recipients)
    for team, recipients in digest.teams.items():
        yield Mailing(scope=of_team(config, team), recipients=recipients)


def last_due(digest: Digest, now: datetime) -> datetime:
    """The last hour at or before now, both with a time zone, at which digests were due; in UTC.

    An hour that a change of the clocks leaves out is taken as if they had not changed yet, so it is the same time after
    it; of an hour that there is twice, the first.
    """
    zone = digest.zone
    today = now.astimezone(zone).date()
    day = today - timedelta(days=(today.weekday() - digest.day) % 7)
    due = datetime.combine(day, time(digest.hour), zone).astimezone(UTC)
    if due > now:
        due = datetime.combine(day - timedelta(days=7), time(digest.hour), zone).astimezone(UTC)
    return due


def week_of(digest: Digest, due: datetime) -> Week:
    """The seven report days that were complete then: east of Greenwich a morning is still yesterday in UTC."""
    return Week(min(due.astimezone(digest.zone).date(), due.astimezone(UTC).date()))
