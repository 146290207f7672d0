"""What `mailposture summary` says in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from cli.summary import as_text
from reports.summary import DomainSummary, Share

WELL = DomainSummary(
    policy_domain="a.example",
    successful_sessions=7,
    failed_sessions=0,
    earlier_success_rate=1.0,
    last_report_day=date(2026, 11, 23),
    categories=(),
    receiving_servers=(),
    senders=(),
    suspected_downgrades=(),
    policy_not_applied=(),
)


def test_all_good_is_said_only_where_nothing_is_suspected() -> None:
    suspected = replace(WELL, policy_not_applied=(Share("Victim (likely)", 7),))
    assert "All good" in as_text([WELL], days=7).plain
    assert "All good" not in as_text([WELL, suspected], days=7).plain
    assert "MTA-STS not applied any more  Victim (likely) 7" in as_text([suspected], days=7).plain
