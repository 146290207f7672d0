"""Senders that stop applying our enforced MTA-STS policy: what makes one, how likely it is, and why."""

from __future__ import annotations

from datetime import UTC, datetime, time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from engine import DOMAIN, YESTERDAY, days_ago

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine import Storage

VICTIM = "Victim"
OTHERS = ("Other One", "Other Two", "Other Three")
ELSEWHERE = "example.net"

_keys = count(1)


def row(organization: str, day: int, **more: Any) -> dict[str, Any]:
    domain = more.get("policy_domain", DOMAIN)
    return {
        "organization": organization,
        "day": days_ago(day),
        "report_key": next(_keys),
        "policy_domain": domain,
        "reported_policy_domain": domain,
        "successful_sessions": 7,
        **more,
    }


def enforced(organization: str, days: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    return [row(organization, day, **more) for day in days]


def without(organization: str, days: Iterable[int], **more: Any) -> list[dict[str, Any]]:
    return [row(organization, day, **{"policy_type": "no-policy-found", "sts_mode": "", **more}) for day in days]


def suspicions(storage: Storage, columns: str, order: str = "ORDER BY organization, day") -> list[tuple[Any, ...]]:
    return storage.ask(f"SELECT {columns} FROM mta_sts_suspected_downgrades {order}")


def victim_elsewhere() -> list[dict[str, Any]]:
    """The sender goes on applying another domain's policy."""
    return enforced(VICTIM, (1, 2), policy_domain=ELSEWHERE)


@pytest.mark.parametrize("number", [1, 4])
def test_sessions_that_may_be_the_senders_own_reports_say_nothing(storage: Storage, number: int) -> None:
    """Sent with TLS-Required: no, as RFC 8460 asks: for them the sender looks up no policy.

    One per domain of ours and address of a record.
    """
    others = [each for other in OTHERS for each in enforced(other, range(1, 10))]
    own_reports = without(VICTIM, range(1, 8), successful_sessions=number)
    storage.put("tls_policies", *enforced(VICTIM, (8, 9, 10)), *own_reports, *victim_elsewhere(), *others)
    assert suspicions(storage, "day") == []
    storage.put("tls_policies", *without(VICTIM, (1,), successful_sessions=5))
    assert suspicions(storage, "day") == [(days_ago(1),)]


def test_a_sender_that_stops_at_one_domain_alone_while_others_go_on_is_likely(storage: Storage) -> None:
    others = [each for other in OTHERS for each in enforced(other, range(1, 10))]
    storage.put("tls_policies", *enforced(VICTIM, (3, 4, 10)), *without(VICTIM, (1, 2)), *victim_elsewhere(), *others)
    columns = "day, policy_domain, organization, sessions, last_applied_day, days_without, applied_elsewhere,"
    columns += " other_reporters_applying, other_reporters_stopped, likelihood"
    assert suspicions(storage, columns) == [
        (days_ago(2), DOMAIN, VICTIM, 7, days_ago(3), 1, True, 3, 0, "possible"),
        (days_ago(1), DOMAIN, VICTIM, 7, days_ago(3), 2, True, 3, 0, "likely"),
    ]
    assert suspicions(storage, "evidence")[1] == (
        f"Had 7 sessions without our MTA-STS policy, which it last applied on {days_ago(3)}: 2 report days without it. "
        "That day 3 other senders applied it and 0 had stopped. It applied the policy of another domain of ours.",
    )


def test_the_evidence_of_a_single_session_is_in_the_singular(storage: Storage) -> None:
    others = enforced(OTHERS[0], (1,))
    storage.put(
        "tls_policies",
        *enforced(VICTIM, (2,)),
        *without(VICTIM, (1,), policy_type="sts", successful_sessions=1),
        *others,
    )
    ((evidence,),) = suspicions(storage, "evidence")
    assert evidence.startswith("Had 1 session without our MTA-STS policy")
    assert "1 other sender applied it" in evidence
    assert "the first report day without it" in evidence


def test_a_sender_that_applies_no_policy_of_ours_any_more_is_only_possible(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (3,)), *without(VICTIM, (1, 2)), *enforced(OTHERS[0], (1, 2)))
    assert suspicions(storage, "applied_elsewhere, likelihood") == [(False, "possible"), (False, "possible")]
    assert "may have stopped for everybody" in suspicions(storage, "evidence")[0][0]


def test_a_policy_in_testing_elsewhere_shows_that_the_sender_still_looks(storage: Storage) -> None:
    elsewhere = enforced(VICTIM, (1,), policy_domain=ELSEWHERE, sts_mode="testing")
    others = enforced(OTHERS[0], (1, 2))
    storage.put("tls_policies", *enforced(VICTIM, (3,)), *without(VICTIM, (1, 2)), *elsewhere, *others)
    assert suspicions(storage, "applied_elsewhere, likelihood")[1] == (True, "likely")


@pytest.mark.slow
def test_a_sender_that_stopped_at_several_domains_within_a_week_has_changed_something(storage: Storage) -> None:
    for domain, days in ((DOMAIN, (1,)), (ELSEWHERE, (7,))):
        storage.put("tls_policies", *enforced(VICTIM, (8, 2), policy_domain=domain))
        storage.put("tls_policies", *without(VICTIM, days, policy_domain=domain))
    storage.put("tls_policies", *enforced(OTHERS[0], range(1, 9)), *victim_elsewhere())
    rows = suspicions(storage, "policy_domain, day, domains_stopped, likelihood")
    assert (DOMAIN, days_ago(1), 2, "sender-change") in rows
    assert (ELSEWHERE, days_ago(7), 1, "possible") in rows  # the first of the two
    (evidence,) = [words for (words,) in suspicions(storage, "evidence") if "domains of ours." in words]
    assert "Within the week it stopped at 2 domains of ours." in evidence


@pytest.mark.slow
def test_what_a_sender_did_a_week_before_at_another_domain_is_another_matter(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (9,), policy_domain=ELSEWHERE), *victim_elsewhere())
    storage.put("tls_policies", *without(VICTIM, (8,), policy_domain=ELSEWHERE))
    storage.put("tls_policies", *enforced(VICTIM, (3,)), *without(VICTIM, (1, 2)), *enforced(OTHERS[0], (1, 2)))
    rows = suspicions(storage, "policy_domain, day, domains_stopped, likelihood")
    assert (DOMAIN, days_ago(1), 1, "likely") in rows


@pytest.mark.slow
def test_among_many_senders_one_that_gave_up_lately_does_not_hide_another(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (3,)), *without(VICTIM, (1, 2)), *victim_elsewhere())
    storage.put("tls_policies", *enforced("Gave Up", (20,)), *without("Gave Up", range(1, 20)))
    for number in range(4):
        storage.put("tls_policies", *enforced(f"Other {number}", (1, 2)))
    of_victim = f"maxIf(likelihood = 'likely', organization = '{VICTIM}'), max(other_reporters_stopped)"
    ask = f"SELECT {of_victim} FROM mta_sts_suspected_downgrades"
    assert storage.ask(ask) == [(0, 1)]
    storage.put("tls_policies", *enforced("Other 4", (1, 2)))
    assert storage.ask(ask) == [(1, 1)]


@pytest.mark.slow
def test_without_others_or_probes_to_compare_it_is_only_possible(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (3,)), *without(VICTIM, (1, 2)), *victim_elsewhere())
    assert {likelihood for (likelihood,) in suspicions(storage, "likelihood")} == {"possible"}


def test_every_sender_at_once_is_our_record_or_policy(storage: Storage) -> None:
    for organization in (VICTIM, *OTHERS):
        storage.put("tls_policies", *enforced(organization, (3,)), *without(organization, (1,)))
    rows = suspicions(storage, "other_reporters_stopped, likelihood")
    assert rows == [(3, "server-fault")] * 4


def probe(day: int, **more: Any) -> dict[str, Any]:
    found = {"sts_mode": "enforce", "sts_record_id": "20260101", "receiving_mx": "", "receiving_ip": "::"}
    return {"day": days_ago(day), "probe": "mta-sts", **found, **more}


def test_our_probes_that_found_the_policy_make_it_likely(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (3,)), *without(VICTIM, (1, 2)), *victim_elsewhere())
    storage.put("probe_results", probe(1), probe(1, probed_at=datetime.combine(YESTERDAY, time(12), UTC)))
    rows = suspicions(storage, "day, probes_with_policy, probes_without_policy, likelihood")
    assert rows[1] == (days_ago(1), 2, 0, "likely")
    assert suspicions(storage, "evidence")[1][0].endswith("Our own probes found the policy 2 of 2 times that day.")


def test_our_probes_that_found_no_policy_make_it_our_fault(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,)), *victim_elsewhere())
    storage.put("probe_results", probe(1, sts_mode="", success=False, reason="policy-status"))
    assert suspicions(storage, "probes_with_policy, probes_without_policy, likelihood") == [(0, 1, "server-fault")]


@pytest.mark.slow
def test_a_policy_whose_record_is_gone_is_found_by_no_new_sender(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,)), *victim_elsewhere())
    storage.put("probe_results", probe(1, sts_record_id="", success=False, reason="no-record"))
    assert suspicions(storage, "probes_with_policy, probes_without_policy, likelihood") == [(0, 1, "server-fault")]


@pytest.mark.slow
def test_a_probe_that_dns_left_without_an_answer_proves_nothing(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,)))
    storage.put("probe_results", probe(1, sts_mode="", sts_record_id="", success=False, reason="dns-error"))
    assert suspicions(storage, "probes_with_policy, probes_without_policy, likelihood") == [(0, 0, "possible")]


@pytest.mark.slow
def test_a_probe_that_found_the_policy_in_spite_of_dns_is_for_it(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,)))
    storage.put("probe_results", probe(1, success=False, reason="dns-error"))
    assert suspicions(storage, "probes_with_policy, probes_without_policy") == [(1, 0)]


@pytest.mark.slow
def test_a_policy_that_all_of_a_thousand_senders_lost_weeks_ago_can_still_be_asked_about(storage: Storage) -> None:
    """The exporter asks about everything together: a question too big for the engine would silence all alerts."""
    storage.client().command(f"""
        INSERT INTO mailposture_tables.tls_policies
            (policy_domain, day, report_key, reported_policy_domain, reporter, policy_type,
            sts_mode, successful_sessions, counts, trust)
        SELECT '{DOMAIN}', (SELECT today FROM clock) - days, number, '{DOMAIN}',
            concat('sender', toString(number % 1000), '.example'),
            if(days > 28, 'sts', 'no-policy-found'), if(days > 28, 'enforce', ''), 3, true, 'dkim'
        FROM (SELECT number, intDiv(number, 1000) + 1 AS days FROM numbers(56_000))""")
    storage.client().command(f"""
        INSERT INTO mailposture_tables.tls_reporter_arrivals
            (policy_domain, reporter, trust, first_arrival, last_arrival)
        SELECT '{DOMAIN}', concat('sender', toString(number), '.example'), 'dkim', now - toIntervalDay(90), now
        FROM clock CROSS JOIN numbers(1000) AS numbers""")
    assert suspicions(storage, "count(), max(length(evidence)) > 0, any(likelihood)", order="") == [
        (28_000, True, "server-fault")
    ]
    assert storage.ask("SELECT DISTINCT cause FROM attention", "exporter") == [("never-reported",)]


@pytest.mark.slow
def test_a_policy_that_the_sender_could_not_fetch_was_not_applied(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,), policy_type="sts"))
    assert suspicions(storage, "day, likelihood") == [(YESTERDAY, "possible")]


def test_a_sender_that_never_applied_the_policy_stopped_nothing(storage: Storage) -> None:
    storage.put("tls_policies", *without(VICTIM, (1, 2, 3)), *enforced(OTHERS[0], (1, 2, 3)))
    assert suspicions(storage, "organization") == []


@pytest.mark.slow
def test_having_applied_it_longer_ago_than_four_weeks_or_later_is_no_evidence(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (34, 1)), *without(VICTIM, (5,)))
    assert suspicions(storage, "organization") == []


@pytest.mark.slow
def test_four_weeks_ago_and_across_months_is_evidence(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (33,)), *without(VICTIM, (5,)))
    assert suspicions(storage, "day, last_applied_day") == [(days_ago(5), days_ago(33))]


@pytest.mark.slow
def test_a_loss_at_the_edge_of_the_sixty_days_still_sees_the_weeks_before(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (88,)), *without(VICTIM, (60, 61)))
    assert suspicions(storage, "day, last_applied_day") == [(days_ago(60), days_ago(88))]


@pytest.mark.slow
def test_a_day_with_the_policy_in_any_report_is_a_day_with_it(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (1, 2)))
    storage.put("tls_policies", *without(VICTIM, (1,)))
    assert suspicions(storage, "organization") == []


def test_a_later_report_about_the_same_day_withdraws_the_suspicion(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,)))
    assert len(suspicions(storage, "organization")) == 1
    storage.put("tls_policies", *enforced(VICTIM, (1,)))
    assert suspicions(storage, "organization") == []


@pytest.mark.slow
def test_a_sender_under_dane_need_not_look_at_the_policy(storage: Storage) -> None:
    dane = row(VICTIM, 1, policy_type="tlsa", sts_mode="", reported_policy_domain="mx.example.com")
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,)), dane)
    assert suspicions(storage, "organization") == []


@pytest.mark.slow
def test_a_policy_that_we_took_back_to_testing_is_no_downgrade(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *enforced(VICTIM, (1,), sts_mode="testing"))
    assert suspicions(storage, "organization") == []


@pytest.mark.slow
def test_mail_to_a_subdomain_is_not_under_the_policy_of_its_parent(storage: Storage) -> None:
    storage.put(
        "tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,), reported_policy_domain=f"lists.{DOMAIN}")
    )
    assert suspicions(storage, "organization") == []


@pytest.mark.slow
def test_a_day_without_sessions_is_no_day_without_the_policy(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(VICTIM, (1,), successful_sessions=0))
    assert suspicions(storage, "organization") == []


def test_a_forged_report_neither_makes_nor_withdraws_a_suspicion(storage: Storage) -> None:
    storage.put("tls_policies", *enforced(VICTIM, (2,)), *without(OTHERS[0], (1,), trust="token", version=0))
    storage.put("tls_policies", *without(VICTIM, (1,)), *enforced(OTHERS[0], (2,)))
    storage.put("tls_policies", *enforced(VICTIM, (1,), trust="token", version=0))
    assert suspicions(storage, "organization") == [(VICTIM,)]


@pytest.mark.slow
def test_reports_that_are_stored_twice_count_once(storage: Storage) -> None:
    rows = [*enforced(VICTIM, (3,)), *without(VICTIM, (1, 2))]
    storage.put("tls_policies", *rows)
    storage.put("tls_policies", *rows)
    assert suspicions(storage, "day, sessions, days_without") == [(days_ago(2), 7, 1), (days_ago(1), 7, 2)]
