"""When a digest is due, and which days it is about."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from exporter.digests.schedule import last_due, mailings, week_of
from mailposture.config.digest import Digest
from mailposture.config.model import Config


def settings(**changes: Any) -> Digest:
    known = {"sender": "a@example.com", "recipients": ["b@example.com"], "smtp": {"host": "mail.example.com"}}
    return Digest.model_validate({**known, **changes})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "now", "due", "last_day"),
    [
        ("UTC", "2026-11-30T08:00", "2026-11-30T08:00", "2026-11-29"),
        ("UTC", "2026-11-30T07:59", "2026-11-23T08:00", "2026-11-22"),
        ("UTC", "2026-12-06T23:59", "2026-11-30T08:00", "2026-11-29"),
        ("Europe/Berlin", "2026-11-30T07:00", "2026-11-30T07:00", "2026-11-29"),
        ("Europe/Berlin", "2026-07-06T06:00", "2026-07-06T06:00", "2026-07-05"),
        ("America/Los_Angeles", "2026-11-30T16:00", "2026-11-30T16:00", "2026-11-29"),
        # Monday there, Sunday in UTC: that Sunday is not over.
        ("Pacific/Auckland", "2026-11-29T19:00", "2026-11-29T19:00", "2026-11-28"),
    ],
)
def test_a_digest_is_due_at_its_local_hour_about_the_days_before(zone: str, now: str, due: str, last_day: str) -> None:
    digest = settings(time_zone=zone)
    found = last_due(digest, at(now))
    assert found == at(due)
    assert week_of(digest, found).last_day == date.fromisoformat(last_day)


def test_an_hour_that_is_left_out_is_the_one_after_and_of_one_that_is_there_twice_the_first() -> None:
    sunday_at_two = settings(day="sunday", hour=2, time_zone="Europe/Berlin")
    assert last_due(sunday_at_two, at("2026-03-29T12:00")) == at("2026-03-29T01:00")  # 03:00 in Berlin
    assert last_due(sunday_at_two, at("2026-10-25T12:00")) == at("2026-10-25T00:00")  # 02:00 in summer time


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia", "Asia/Kathmandu"])
@pytest.mark.parametrize("day", ["monday", "sunday", "friday"])
def test_every_week_of_a_year_has_one_digest(zone: str, day: str) -> None:
    digest = settings(day=day, hour=2, time_zone=zone)
    now, found = at("2026-01-01T00:30"), list[datetime]()
    while now < at("2027-02-01T00:00"):
        due = last_due(digest, now)
        assert now - timedelta(days=7, hours=1) < due <= now
        if due not in found:
            found.append(due)
        now += timedelta(minutes=30)
    weeks = [week_of(digest, due) for due in found]
    assert [later.start for later in weeks[1:]] == [earlier.end for earlier in weeks[:-1]]


def test_a_team_gets_the_digest_of_its_domains() -> None:
    config = Config.model_validate(
        {"domains": [{"name": "a.example", "team": "web"}, {"name": "b.example"}, {"name": "c.example", "team": "web"}]}
    )
    digest = settings(recipients=["all@example.com"], teams={"web": ["web@example.com"]})
    assert [(each.scope.team, each.scope.domains, each.recipients) for each in mailings(config, digest)] == [
        ("", None, ("all@example.com",)),
        ("web", frozenset({"a.example", "c.example"}), ("web@example.com",)),
    ]
