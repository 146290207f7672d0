"""What reports say beside what our probes saw: days of probes, reasons of failures, and suspected downgrades."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import DOMAIN, TODAY, YESTERDAY, days_ago

if TYPE_CHECKING:
    from datetime import date

    from engine import Storage

MX = "mx.example.com"
BLOCKED = {"success": False, "reason": "outbound-port-25-blocked"}
OFFERED = {"starttls_offered": True, "reachable": True}
STRIPPED = {"success": False, "reason": "starttls-not-offered", "starttls_offered": False, "reachable": True}


def probes(number: int, *, day: date = YESTERDAY, start: int = 0, **row: Any) -> list[dict[str, Any]]:
    """Probes a quarter of an hour apart."""
    midnight = datetime.combine(day, datetime.min.time(), UTC)
    return [{"day": day, "probed_at": midnight + timedelta(minutes=15 * (start + n)), **row} for n in range(number)]


def put(storage: Storage, *rows: dict[str, Any]) -> None:
    for row in rows:
        storage.put("probe_results", row)


def test_a_day_says_how_often_it_was_good_and_why_not(storage: Storage) -> None:
    expiry = datetime.combine(TODAY, datetime.min.time(), UTC)
    put(storage, *probes(3, certificate_not_after=expiry, tls_version="TLSv1.3", **OFFERED))
    put(storage, *probes(1, start=3, success=False, reason="timeout", detail="no answer"))
    put(storage, *probes(2, start=4, success=False, reason="certificate-expired", certificate_valid=False))
    put(storage, *probes(1, start=6, **BLOCKED))
    columns = "probes, successes, success_share, blocked, reason, last_reason, certificates_refused, tls_versions"
    assert storage.ask(f"SELECT {columns} FROM probe_results_daily", "grafana") == [
        (6, 3, 0.5, 1, "certificate-expired", "outbound-port-25-blocked", 2, ["TLSv1.3"])
    ]
    assert storage.ask("SELECT receiving_ip, toDate(certificate_not_after) FROM probe_results_daily") == [
        ("203.0.113.1", TODAY)
    ]


def test_a_certificate_is_the_new_one_as_soon_as_it_is_renewed(storage: Storage) -> None:
    """Not at midnight: somebody was woken up to renew it, and looks."""
    renewed = datetime.combine(TODAY, datetime.min.time(), UTC) + timedelta(days=90)
    put(storage, *probes(2, certificate_not_after=renewed - timedelta(days=85)))
    put(storage, *probes(1, start=2, certificate_not_after=renewed))
    assert storage.ask("SELECT toDate(certificate_not_after) FROM probe_results_daily") == [(renewed.date(),)]


def test_a_day_behind_a_closed_port_accuses_nobody(storage: Storage) -> None:
    put(storage, *probes(2, **BLOCKED))
    assert storage.ask("SELECT probes, success_share, blocked, reason FROM probe_results_daily") == [(0, None, 2, "")]


def test_each_address_and_record_is_a_row_of_its_own(storage: Storage) -> None:
    put(storage, *probes(1), *probes(1, receiving_ip="2001:db8::1"))
    put(storage, *(row for record in ("mx", "spf") for row in probes(
        1, probe="dns", record=record, receiving_mx="", receiving_ip="::"
    )))  # fmt: skip
    assert storage.ask("SELECT probe, record, receiving_ip FROM probe_results_daily ORDER BY ALL") == [
        ("dns", "mx", ""), ("dns", "spf", ""), ("mx", "", "2001:db8::1"), ("mx", "", "203.0.113.1"),
    ]  # fmt: skip


def beside(storage: Storage, columns: str) -> list[tuple[Any, ...]]:
    return storage.ask(f"SELECT {columns} FROM tls_failures_with_probes ORDER BY receiving_mx", "grafana")


def test_failure_stands_beside_the_certificate_that_our_probe_saw_expire(storage: Storage) -> None:
    storage.put("tls_failures", {"failed_sessions": 7})
    expired = {"success": False, "reason": "certificate-expired", "certificate_valid": False}
    put(storage, *probes(4, certificate_not_after=datetime(2020, 5, 1, 12, tzinfo=UTC), **expired, **OFFERED))
    assert beside(storage, "failed_sessions, probes, probe_successes, probe_reason, our_probes") == [
        (
            7, 4, 0, "certificate-expired",
            "0 of 4 probes of the server found nothing wrong; the others: certificate-expired. "
            "Its certificate expired on 2020-05-01.",
        )
    ]  # fmt: skip


def test_failure_stands_only_beside_probes_of_its_day_server_and_domain(storage: Storage) -> None:
    storage.put("tls_failures", {"failed_sessions": 7})
    put(storage, *probes(1, day=days_ago(2)), *probes(1, receiving_mx="mx2.example.com"))
    put(storage, *probes(1, policy_domain="example.net"))
    assert beside(storage, "probes, our_probes") == [(0, "No probe of ours saw the server that day.")]


def test_failure_that_names_no_server_stands_beside_all_of_the_domain(storage: Storage) -> None:
    storage.put("tls_failures", {"receiving_mx": ""})
    put(storage, *probes(2, **OFFERED), *probes(1, receiving_mx="mx2.example.com", **STRIPPED))
    assert beside(storage, "probes, probe_successes, probes_with_starttls, probes_without_starttls") == [(3, 2, 2, 1)]


def test_policy_failure_stands_beside_the_probes_of_the_policy(storage: Storage) -> None:
    storage.put("tls_failures", {"result_type": "sts-policy-fetch-error", "category": "mta-sts-policy"})
    policy = {"probe": "mta-sts", "receiving_mx": "", "receiving_ip": "::"}
    put(storage, *probes(3, **policy), *probes(1, start=3, success=False, reason="policy-timeout", **policy))
    assert beside(storage, "policy_probes, policy_probe_successes, policy_probe_reason") == [(4, 3, "policy-timeout")]
    assert "1 of 4 probes of the MTA-STS policy: policy-timeout." in beside(storage, "our_probes")[0][0]


def test_policy_failure_says_so_where_our_probes_found_the_policy_good(storage: Storage) -> None:
    storage.put("tls_failures", {"result_type": "sts-policy-fetch-error", "category": "mta-sts-policy"})
    put(storage, *probes(3, probe="mta-sts", receiving_mx="", receiving_ip="::"))
    assert beside(storage, "our_probes") == [(
        "All 3 probes of the MTA-STS policy found nothing wrong. No probe of ours saw the server that day.",
    )]  # fmt: skip


def test_failures_of_several_senders_and_causes_each_stand_beside_the_same_probes(storage: Storage) -> None:
    for number, (organization, mx) in enumerate((("A", MX), ("B", MX), ("A", ""), ("A", "mx2.example.com"))):
        storage.put("tls_failures", {"organization": organization, "receiving_mx": mx, "report_key": number})
    storage.put("tls_failures", {"organization": "A", "result_type": "validation-failure", "report_key": 9})
    put(storage, *probes(2), *probes(1, receiving_mx="mx2.example.com", success=False, reason="timeout"))
    policy = {"probe": "mta-sts", "receiving_mx": "", "receiving_ip": "::"}
    put(storage, *probes(3, **policy), *probes(5, day=TODAY, **policy))
    sql = "SELECT receiving_mx, organization, probes, probe_successes, policy_probes FROM tls_failures_with_probes"
    assert storage.ask(f"{sql} ORDER BY ALL", "grafana") == [
        ("", "A", 3, 2, 3),
        (MX, "A", 2, 2, 3),
        (MX, "A", 2, 2, 3),
        (MX, "B", 2, 2, 3),
        ("mx2.example.com", "A", 1, 0, 3),
    ]


@pytest.fixture
def victim(storage: Storage) -> Storage:
    """A sender that had TLS and found no STARTTLS yesterday, from one network; nobody else sent."""
    lost = {"result_type": "starttls-not-supported", "category": "starttls-not-supported", "failed_sessions": 3}
    storage.put("tls_policies", {"day": days_ago(2), "successful_sessions": 50})
    storage.put("tls_failures", {"report_key": 2, **lost})
    return storage


def suspicion(storage: Storage) -> tuple[Any, ...]:
    columns = "probes_with_starttls, probes_without_starttls, likelihood"
    (row,) = storage.ask(f"SELECT {columns} FROM tls_suspected_downgrades", "exporter")
    return row


def test_our_probes_that_saw_starttls_make_a_downgrade_likely(victim: Storage) -> None:
    assert suspicion(victim) == (0, 0, "possible")
    put(victim, *probes(4, **OFFERED))
    assert suspicion(victim) == (4, 0, "likely")
    evidence = victim.ask("SELECT evidence FROM tls_suspected_downgrades")[0][0]
    assert evidence.endswith("Our own probes found STARTTLS there 4 of 4 times that day.")


def test_our_probes_that_saw_none_make_it_our_server(victim: Storage) -> None:
    victim.put("tls_policies", {"organization": "Other", "report_key": 5, "successful_sessions": 50})
    assert suspicion(victim) == (0, 0, "likely")
    put(victim, *probes(4, **STRIPPED))
    assert suspicion(victim) == (0, 4, "server-fault")


def test_a_server_that_offers_starttls_only_sometimes_leaves_it_open(victim: Storage) -> None:
    victim.put("tls_policies", {"organization": "Other", "report_key": 5, "successful_sessions": 50})
    put(victim, *probes(4, **OFFERED), *probes(1, start=4, **STRIPPED))
    assert suspicion(victim) == (4, 1, "possible")


def test_probes_of_other_servers_and_days_and_blocked_ones_are_no_evidence(victim: Storage) -> None:
    put(victim, *probes(4, day=days_ago(3), **OFFERED), *probes(4, receiving_mx="mx2.example.com", **OFFERED))
    put(victim, *probes(4, **BLOCKED))
    assert suspicion(victim) == (0, 0, "possible")


def readiness(storage: Storage) -> tuple[str, list[str]]:
    sql = f"SELECT verdict, reasons FROM mta_sts_readiness WHERE policy_domain = '{DOMAIN}'"
    (row,) = storage.ask(sql, "exporter")
    return row


@pytest.fixture
def quiet_month(storage: Storage) -> Storage:
    """Senders saw nothing that speaks against mode enforce."""
    seen = [
        {"day": days_ago(day), "organization": name, "report_key": ord(name) * 100 + day}
        for day in range(1, 31)
        for name in "AB"
    ]
    storage.put("tls_policies", *({**row, "sts_mode": "testing", "successful_sessions": 100} for row in seen))
    return storage


def test_nobody_is_ready_whose_servers_our_last_probes_found_unfit(quiet_month: Storage) -> None:
    assert readiness(quiet_month)[0] == "ready"
    policy = {"probe": "mta-sts", "receiving_mx": "", "receiving_ip": "::"}
    put(quiet_month, *probes(1, success=False, reason="certificate-expired"))
    put(quiet_month, *probes(1, success=False, reason="mx-not-covered", **policy))
    verdict, reasons = readiness(quiet_month)
    assert verdict == "not-ready"
    assert reasons[-2:] == [
        "Our last probe of mx.example.com: certificate-expired.",
        "Our last probe of the policy: mx-not-covered.",
    ]


def test_what_is_mended_or_hidden_or_away_in_every_mode_does_not_count(quiet_month: Storage) -> None:
    put(quiet_month, *probes(1, success=False, reason="certificate-expired"), *probes(1, start=1))
    put(quiet_month, *probes(1, receiving_mx="mx2.example.com", **BLOCKED))
    put(quiet_month, *probes(1, receiving_mx="mx3.example.com", success=False, reason="timeout"))
    put(quiet_month, *probes(1, day=days_ago(9), receiving_mx="old.example.com", **STRIPPED))
    assert readiness(quiet_month) == ("ready", ["None of 6000 sessions would be refused."])


def test_server_that_left_dns_since_it_was_found_unfit_does_not_count(quiet_month: Storage) -> None:
    put(quiet_month, *probes(1, receiving_mx="old.example.com", **STRIPPED), *probes(1), *probes(1, start=1))
    assert readiness(quiet_month)[0] == "ready"
