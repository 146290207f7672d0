"""Ready to enforce? The verdict, and the reasons it gives."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from clock import NOW
from engine import DOMAIN, TODAY, days_ago

if TYPE_CHECKING:
    from engine import Storage

pytestmark = pytest.mark.slow

ORGANIZATIONS = ("Sender One", "Sender Two", "Sender Three")


@pytest.fixture
def quiet_month(storage: Storage) -> Storage:
    """Thirty days of three senders that looked at a testing policy and saw nothing wrong: 100 sessions each a day."""
    rows = [
        {"day": days_ago(day), "organization": organization, "report_key": day * 10 + number}
        for day in range(1, 31)
        for number, organization in enumerate(ORGANIZATIONS)
    ]
    storage.put("tls_policies", *({**row, "sts_mode": "testing", "successful_sessions": 100} for row in rows))
    return storage


def readiness(storage: Storage, columns: str) -> tuple[Any, ...]:
    (row,) = storage.ask(f"SELECT {columns} FROM mta_sts_readiness WHERE policy_domain = '{DOMAIN}'")
    return row


def test_a_quiet_month_is_ready(quiet_month: Storage) -> None:
    assert readiness(quiet_month, "days, sessions, would_be_refused, reporters, last_mode, verdict, reasons") == (
        30, 9000, 0, 3, "testing", "ready", ["None of 9000 sessions would be refused."],
    )  # fmt: skip


def test_failures_that_enforce_would_refuse_speak_against_it_by_name(quiet_month: Storage) -> None:
    failing = {"policy_type": "sts", "sts_mode": "testing", "organization": "Sender Two", "report_key": 9001}
    quiet_month.put("tls_policies", {**failing, "failed_sessions": 40})
    quiet_month.put("tls_failures", {**failing, "failed_sessions": 40, "result_type": "certificate-host-mismatch"})
    assert readiness(quiet_month, "would_be_refused, verdict, reasons") == (
        40, "not-ready",
        ["40 of 9040 sessions would be refused.", "certificate-host-mismatch: 40 sessions of 1 sender."],
    )  # fmt: skip


def test_what_failed_in_testing_does_not_speak_against_a_policy_in_force_since(quiet_month: Storage) -> None:
    failing = {"day": days_ago(20), "sts_mode": "testing", "report_key": 9001, "failed_sessions": 400}
    since = [{"day": days_ago(day), "report_key": 9100 + day, "successful_sessions": 100} for day in range(1, 6)]
    quiet_month.put("tls_policies", failing, *since)
    quiet_month.put("tls_failures", failing)
    verdict, reasons = readiness(quiet_month, "verdict, reasons")
    assert verdict == "ready"
    assert reasons[0] == "400 of 9900 sessions would have been refused, had mode enforce been there already."
    quiet_month.put("tls_policies", {"report_key": 9201, "failed_sessions": 40})
    quiet_month.put("tls_failures", {"report_key": 9201, "failed_sessions": 40})
    assert readiness(quiet_month, "verdict") == ("not-ready",)


def test_a_handful_in_ten_thousand_is_bearable_but_said(quiet_month: Storage) -> None:
    failing = {"sts_mode": "testing", "report_key": 9001, "failed_sessions": 5}
    quiet_month.put("tls_policies", failing)
    quiet_month.put("tls_failures", failing)
    verdict, reasons = readiness(quiet_month, "verdict, reasons")
    assert verdict == "ready"
    assert reasons[0] == "5 of 9005 sessions would be refused."


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (0, "40 of {} sessions would have been refused, had mode enforce been there already."),
        (1, "1 of {} sessions was refused; mode enforce would have refused 40 more, which were in another mode."),
        (7, "7 of {} sessions were refused; mode enforce would have refused 40 more, which were in another mode."),
    ],
)
def test_what_failed_in_mode_testing_was_not_refused(quiet_month: Storage, refused: int, said: str) -> None:
    """The domain went from testing to enforce within the month."""
    earlier = {"day": days_ago(9), "sts_mode": "testing", "report_key": 9001, "failed_sessions": 40}
    since = {"sts_mode": "enforce", "report_key": 9002, "failed_sessions": refused}
    quiet_month.put("tls_policies", earlier, {**since, "successful_sessions": 100})
    quiet_month.put("tls_failures", earlier, since)
    would_be_refused, last_mode, reasons = readiness(quiet_month, "would_be_refused, last_mode, reasons")
    assert (would_be_refused, last_mode) == (40 + refused, "enforce")
    assert reasons[0] == said.format(9140 + refused)


def stripped(mode: str, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Yesterday one sender of three, from one network, found no STARTTLS in 40 sessions: a summary and its details."""
    summary = {"sts_mode": mode, "organization": "Sender Two", "report_key": 9001, "failed_sessions": 40}
    lost = {"result_type": "starttls-not-supported", "category": "starttls-not-supported"}
    return summary, {**summary, **lost, **more}


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (
            "testing",
            [
                "40 of 9040 sessions would be refused.",
                "In 40 of them somebody between sender and server likely removed STARTTLS: "
                "mode enforce would keep that mail from being read.",
                "starttls-not-supported: 40 sessions of 1 sender.",
            ],
        ),
        (
            "enforce",
            [
                "40 of 9040 sessions were refused.",
                "In 40 of them somebody between sender and server likely removed STARTTLS: "
                "mode enforce keeps that mail from being read.",
                "starttls-not-supported: 40 sessions of 1 sender.",
            ],
        ),
    ],
)
def test_a_likely_downgrade_speaks_for_enforce_and_not_against_it(
    quiet_month: Storage, mode: str, said: list[str]
) -> None:
    summary, details = stripped(mode)
    quiet_month.put("tls_policies", summary)
    quiet_month.put("tls_failures", details)
    assert readiness(quiet_month, "would_be_refused, verdict, reasons") == (40, "ready", said)


def test_a_server_that_lost_starttls_for_all_is_no_downgrade_and_not_ready(quiet_month: Storage) -> None:
    for number, organization in enumerate(ORGANIZATIONS):
        summary, details = stripped("testing")
        more = {"organization": organization, "report_key": 9001 + number}
        quiet_month.put("tls_policies", {**summary, **more})
        quiet_month.put("tls_failures", {**details, **more})
    assert readiness(quiet_month, "would_be_refused, verdict") == (120, "not-ready")


def test_a_policy_that_could_not_be_fetched_refuses_nothing(quiet_month: Storage) -> None:
    """RFC 8461, section 5: without a policy the sender delivers."""
    failing = {"sts_mode": "", "report_key": 9001, "failed_sessions": 500}
    quiet_month.put("tls_policies", failing)
    quiet_month.put("tls_failures", {**failing, "result_type": "sts-policy-fetch-error", "category": "mta-sts-policy"})
    would_be_refused, verdict, reasons = readiness(quiet_month, "would_be_refused, verdict, reasons")
    assert (would_be_refused, verdict) == (0, "ready")
    assert "500 sessions could not read the policy and went on without it." in reasons


def test_few_days_are_too_little_evidence(storage: Storage) -> None:
    storage.put(
        "tls_policies",
        *(
            {"organization": organization, "report_key": number, "sts_mode": "testing", "successful_sessions": 1000}
            for number, organization in enumerate(ORGANIZATIONS)
        ),
    )
    verdict, reasons = readiness(storage, "verdict, reasons")
    assert verdict == "too-little-evidence"
    assert "Only 1 report days; wait for 7." in reasons


def test_a_domain_whose_policy_nobody_looked_at_says_so(storage: Storage) -> None:
    storage.put("tls_policies", {"policy_type": "no-policy-found", "sts_mode": "", "successful_sessions": 1000})
    assert readiness(storage, "sessions, last_mode, verdict, reasons") == (
        0, "", "too-little-evidence", ["No sender reported an MTA-STS policy in the last 30 days."],
    )  # fmt: skip


def test_today_and_what_is_older_than_thirty_days_do_not_count(quiet_month: Storage) -> None:
    bad = {"sts_mode": "testing", "failed_sessions": 10_000}
    quiet_month.put("tls_policies", {**bad, "day": TODAY, "report_key": 9001}, {**bad, "day": days_ago(31)})
    assert readiness(quiet_month, "would_be_refused, verdict") == (0, "ready")


def test_the_last_mode_is_that_of_the_newest_day(quiet_month: Storage) -> None:
    quiet_month.put("tls_policies", {"day": days_ago(1), "report_key": 9001, "sts_mode": "", "successful_sessions": 1})
    assert readiness(quiet_month, "last_mode") == ("testing",)


def test_every_configured_domain_has_a_verdict(storage: Storage) -> None:
    assert storage.ask("SELECT policy_domain FROM mta_sts_readiness ORDER BY 1") == [("example.com",), ("example.net",)]


@pytest.mark.parametrize(
    ("probe", "reason", "cause"),
    [
        ("mx", "certificate-expired", "mx-certificate-invalid"),
        ("mx", "certificate-host-mismatch", "mx-certificate-invalid"),
        ("mx", "starttls-not-offered", "mx-without-starttls"),
        ("mx", "starttls-refused", "mx-failing"),
        ("mx", "tls-failed", "mx-failing"),
        ("mta-sts", "mx-not-covered", "mx-not-covered"),
        ("mta-sts", "policy-tls-error", "policy-unfetchable"),
    ],
)
def test_what_attention_finds_in_probes_and_enforce_makes_worse_is_not_ready(
    quiet_month: Storage, probe: str, reason: str, cause: str
) -> None:
    faulty = {"probe": probe, "success": False, "reason": reason, "detail": "as it is", "reachable": True}
    if probe == "mta-sts":
        faulty |= {"receiving_mx": "", "receiving_ip": "::"}
    where = "mx.example.com" if probe == "mx" else "the policy"
    for minutes, found in ((30, {}), (15, {cause: "not-yet"}), (0, {cause: "needed"})):
        quiet_month.put(
            "probe_results",
            {**faulty, "day": TODAY, "probed_at": NOW - timedelta(minutes=minutes)}
            if found
            else {**faulty, "success": True, "reason": "", "day": TODAY, "probed_at": NOW - timedelta(minutes=minutes)},
        )
        needing = {
            row[0]
            for row in quiet_month.ask(
                f"SELECT cause FROM attention WHERE policy_domain = '{DOMAIN}' AND kind = 'outside'"
            )
        }
        assert needing == {cause for cause, state in found.items() if state == "needed"}
        verdict, reasons = readiness(quiet_month, "verdict, reasons")
        assert verdict == ("not-ready" if found else "ready")
        assert (f"Our last probe of {where}: {reason}." in reasons) is bool(found)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("unreachable", "mx-unreachable"), ("tlsa-mismatch", "mx-tlsa-mismatch"), ("timeout", "mx-failing")],
)
def test_what_keeps_mail_away_in_every_mode_does_not_speak_against_enforce(
    quiet_month: Storage, reason: str, cause: str
) -> None:
    for minutes in (15, 0):
        when = {"day": TODAY, "probed_at": NOW - timedelta(minutes=minutes)}
        quiet_month.put(
            "probe_results", {"success": False, "reason": reason, "reachable": reason != "unreachable", **when}
        )
    assert quiet_month.ask(f"SELECT cause FROM attention WHERE policy_domain = '{DOMAIN}' AND kind = 'outside'") == [
        (cause,)
    ]
    assert readiness(quiet_month, "verdict") == ("ready",)


def test_a_null_mx_of_a_domain_that_is_to_receive_mail_is_critical(storage: Storage) -> None:
    for minutes in (15, 0):
        when = {"day": TODAY, "probed_at": NOW - timedelta(minutes=minutes)}
        nothing = {"receiving_mx": "", "receiving_ip": "::"}
        storage.put(
            "probe_results", {"probe": "dns", "record": "mx", "success": False, "reason": "null-mx", **nothing, **when}
        )
    found = storage.ask("SELECT cause, subject, severity FROM attention WHERE kind = 'outside'")
    assert found == [("mx-null", "", "critical")]
