"""What `mailposture summary` says in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from cli.summary import as_text
from reports.attention import Needed
from reports.causes import Severity
from reports.tls.summary import DomainSummary

WELL = DomainSummary(
    policy_domain="a.example",
    successful_sessions=7,
    failed_sessions=0,
    earlier_success_rate=1.0,
    last_report_day=date(2026, 11, 23),
    categories=(),
    receiving_servers=(),
    senders=(),
    attention=(),
)
NEEDED = Needed(
    kind="tls",
    policy_domain="a.example",
    cause="certificate",
    subject="mx1.a.example",
    severity=Severity.CRITICAL,
    title="Certificate expired or invalid",
    since=date(2026, 11, 20),
    affected=60,
    of=1000,
    detail="",
    acknowledged_until=None,
    acknowledged_because="",
)


def said(*needed: Needed) -> str:
    return as_text([replace(WELL, attention=needed)], days=7).plain


def test_what_needs_attention_is_named_with_its_server_and_its_sessions() -> None:
    assert "critical Certificate expired or invalid (mx1.a.example): 60 of 1,000 sessions since 2026-11-20" in said(
        NEEDED
    )


def test_all_good_is_said_only_where_nothing_waits_for_attention() -> None:
    assert "All good" in said()
    assert "All good" not in said(NEEDED)
    assert "All good: nothing needs attention." in said()
    info = said(replace(NEEDED, severity=Severity.INFO))
    assert info.endswith("All good: nothing needs attention but what is for information or acknowledged.")


def test_what_is_acknowledged_is_shown_as_such() -> None:
    known = replace(NEEDED, acknowledged_until=date(2026, 12, 24), acknowledged_because="renewed on\x1b[2J Monday")
    assert "since 2026-11-20; acknowledged until 2026-12-24: renewed on�[2J Monday" in said(known)
    assert "All good" in said(known)


def test_nobody_misses_reports_about_a_parked_domain() -> None:
    parked = replace(WELL, successful_sessions=0, last_report_day=None, parked=True)
    (line,) = [line for line in as_text([parked], days=7).plain.splitlines() if line.startswith("a.example")]
    assert line.split() == ["a.example", "0", "parked", "none", "expected"]


def test_parked_domains_of_which_nothing_is_to_be_said_are_one_line() -> None:
    parked = [
        replace(WELL, policy_domain=f"p{number}.example", successful_sessions=0, last_report_day=None, parked=True)
        for number in range(5000)
    ]
    weak = replace(parked[0], attention=(NEEDED,))
    lines = as_text([WELL, weak, *parked[1:]], days=7).plain.splitlines()
    assert [line.split()[0] for line in lines if ".example" in line and "parked" in line] == ["p0.example"]
    assert "and 4,999 parked domains, to which no mail came, as expected" in lines


def test_reports_of_new_reporters_alone_are_not_called_none() -> None:
    for sessions in (7, 0):
        shown = as_text([replace(WELL, last_report_day=None, successful_sessions=sessions)], days=7).plain
        (line,) = [line for line in shown.splitlines() if line.startswith(WELL.policy_domain)]
        assert line.endswith("none that counts")
