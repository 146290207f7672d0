"""Suspected downgrades: what makes one, how likely it is, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from engine import DOMAIN, YESTERDAY, days_ago

if TYPE_CHECKING:
    from engine import Storage

VICTIM = "Victim"
OTHERS = ("Other One", "Other Two", "Other Three")


@pytest.fixture
def keys() -> Any:
    return iter(range(1, 1000))


def successes(keys: Any, organization: str, *, days: tuple[int, ...], sessions: int = 50) -> list[dict[str, Any]]:
    return [
        {"organization": organization, "day": days_ago(day), "successful_sessions": sessions, "report_key": next(keys)}
        for day in days
    ]


def no_starttls(keys: Any, organization: str, *addresses: str, **more: Any) -> list[dict[str, Any]]:
    report = next(keys)
    return [
        {
            "organization": organization,
            "report_key": report,
            "failure_index": index,
            "result_type": "starttls-not-supported",
            "category": "starttls-not-supported",
            "sending_mta_ip": address,
            "failed_sessions": 3,
            **more,
        }
        for index, address in enumerate(addresses)
    ]


def suspicions(storage: Storage, columns: str) -> list[tuple[Any, ...]]:
    return storage.ask(f"SELECT {columns} FROM tls_suspected_downgrades ORDER BY organization")


def test_one_sender_from_one_network_while_others_succeed_is_likely(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2, 3, 10)))
    for other in OTHERS:
        storage.put("tls_policies", *successes(keys, other, days=(1, 2)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1", "::ffff:192.0.2.77"))
    columns = "day, organization, failed_sessions, earlier_days_with_tls, other_reporters_succeeding,"
    columns += " other_reporters_failing, sending_networks, likelihood"
    assert suspicions(storage, columns) == [(YESTERDAY, VICTIM, 6, 3, 3, 0, 1, "likely")]
    assert suspicions(storage, "evidence") == [
        (
            "Found no STARTTLS in 6 sessions, after TLS on 3 of the 28 days before. "
            "That day 3 other senders found STARTTLS and 0 did not. It sent from one network.",
        )
    ]


def test_every_sender_at_once_is_our_server(storage: Storage, keys: Any) -> None:
    for organization in (VICTIM, *OTHERS):
        storage.put("tls_policies", *successes(keys, organization, days=(2,)))
        storage.put("tls_failures", *no_starttls(keys, organization, "::ffff:192.0.2.1"))
    assert set(suspicions(storage, "likelihood")) == {("server-fault",)}


def test_a_sender_from_several_networks_is_only_possible(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2,)), *successes(keys, OTHERS[0], days=(1,)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1", "::ffff:198.51.100.1", "2001:db8::1"))
    assert suspicions(storage, "sending_networks, likelihood") == [(3, "possible")]


def test_without_other_senders_to_compare_it_is_only_possible(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2,)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1"))
    assert suspicions(storage, "likelihood") == [("possible",)]


def test_unreported_addresses_are_no_network(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2,)), *successes(keys, OTHERS[0], days=(1,)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::"))
    assert suspicions(storage, "sending_networks, likelihood") == [(0, "possible")]


def test_a_sender_that_never_had_tls_lost_nothing(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, OTHERS[0], days=(1, 2)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1"))
    assert suspicions(storage, "likelihood") == []


def test_success_longer_ago_than_four_weeks_or_later_is_no_evidence(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(40, 1)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1", day=days_ago(5)))
    assert suspicions(storage, "likelihood") == []


def test_success_of_the_same_day_is_not_earlier(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(1,)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1"))
    assert suspicions(storage, "likelihood") == []


def test_other_failures_are_no_downgrade(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2,)))
    storage.put("tls_failures", {"organization": VICTIM, "report_key": 99})
    assert suspicions(storage, "likelihood") == []


def test_each_receiving_server_is_a_row_of_its_own(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2,)), *successes(keys, OTHERS[0], days=(1,)))
    for mx in ("mx1.example.com", "mx2.example.com"):
        storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1", receiving_mx=mx))
    rows = suspicions(storage, "receiving_mx, other_reporters_failing, likelihood")
    assert sorted(rows) == [("mx1.example.com", 0, "likely"), ("mx2.example.com", 0, "likely")]


def test_another_domains_reports_prove_nothing(storage: Storage, keys: Any) -> None:
    elsewhere = {"policy_domain": "example.net"}
    storage.put("tls_policies", *({**row, **elsewhere} for row in successes(keys, VICTIM, days=(2,))))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1"))
    assert suspicions(storage, "likelihood") == []


def test_the_evidence_of_a_single_session_and_sender_is_in_the_singular(storage: Storage, keys: Any) -> None:
    storage.put("tls_policies", *successes(keys, VICTIM, days=(2,)), *successes(keys, OTHERS[0], days=(1,)))
    storage.put("tls_failures", *no_starttls(keys, VICTIM, "::ffff:192.0.2.1", failed_sessions=1))
    ((evidence,),) = suspicions(storage, "evidence")
    assert evidence.startswith("Found no STARTTLS in 1 session, after TLS on 1 of the 28 days")
    assert "1 other sender found STARTTLS" in evidence


@pytest.mark.slow
def test_starttls_that_a_thousand_senders_lost_for_days_can_still_be_asked_about(storage: Storage) -> None:
    """The exporter asks about everything together: a question too big for the engine would silence all alerts."""
    columns = "policy_domain, day, report_key, reporter, counts, trust"
    rows = (
        f"'{DOMAIN}', (SELECT today FROM clock) - 1 - intDiv(number, 1000), number,"
        " concat('sender', toString(number % 1000), '.example'), 1, 'dkim'"
    )
    for insert in (
        f"tls_policies ({columns}, successful_sessions) SELECT {rows}, 1 FROM numbers(30_000)",
        f"tls_failures ({columns}, failed_sessions, category)"
        f" SELECT {rows}, 2, 'starttls-not-supported' FROM numbers(5_000)",
    ):
        storage.client().command(f"INSERT INTO mailposture_tables.{insert}")
    storage.client().command(f"""
        INSERT INTO mailposture_tables.tls_reporter_arrivals
            (policy_domain, reporter, trust, first_arrival, last_arrival)
        SELECT '{DOMAIN}', concat('sender', toString(number), '.example'), 'dkim', now - toIntervalDay(90), now
        FROM clock CROSS JOIN numbers(1000) AS numbers""")
    assert storage.ask(
        "SELECT count(), min(length(evidence)) > 0, min(other_reporters_failing), any(likelihood)"
        " FROM tls_suspected_downgrades"
    ) == [(5_000, True, 999, "server-fault")]
    needing = "SELECT cause, affected FROM attention WHERE cause != 'never-reported'"
    assert storage.ask(needing, "exporter") == [("starttls-not-supported", 2_000)]
