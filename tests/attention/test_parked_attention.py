"""What needs attention of a parked domain: mail that is delivered or authenticates, weak records; nothing blocked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from clock import NOW
from engine import TODAY, days_ago
from test_dmarc_attention import DOMAIN, FORGER, FORGERS_NETWORK, OUR_NETWORK, Mail, mail

from mailposture.clickhouse.reference import write_domains

if TYPE_CHECKING:
    from engine import Storage
    from sample_reports import Reports
    from two_domains import Attention, Gauges

__all__ = ["mail"]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _parked(reports: Reports) -> None:
    park(reports.storage)


def park(storage: Storage, *, parked: bool = True) -> None:
    """Mark the domain as parked."""
    domains = (storage.config.domains[0].model_copy(update={"parked": parked}), *storage.config.domains[1:])
    write_domains(storage.client(), storage.config.model_copy(update={"domains": domains}))


def needed(attention: Attention) -> dict[tuple[str, str], str]:
    """Severity by cause and subject, but for what is for information."""
    return {key: row.severity for key, row in attention.read().items() if row.severity != "info"}


def piles(storage: Storage) -> list[tuple[str, str, int, int]]:
    """Pile, evidence, messages, passed messages."""
    return storage.ask(
        "SELECT pile, any(evidence), sum(messages), sum(passed_messages) FROM dmarc_sources_daily"
        " WHERE policy_domain = {domain:String} GROUP BY pile, passed_messages > 0 ORDER BY ALL",
        domain=DOMAIN,
    )  # type: ignore[return-value]


@pytest.mark.parametrize("disposition", ["reject", "quarantine"])
def test_blocked_abuse_needs_no_attention(mail: Mail, attention: Attention, disposition: str) -> None:
    mail.sent(range(1, 30), 300, ip=FORGER, disposition=disposition, policy="reject")
    mail.sent((1,), 9000, ip=FORGER, disposition=disposition, policy="none")
    assert needed(attention) == {}


def test_what_receivers_deliver_in_spite_of_reject_is_no_weakness_of_ours(mail: Mail, attention: Attention) -> None:
    mail.sent((1, 2), 15, ip=FORGER, policy="reject")
    assert needed(attention) == {}


@pytest.mark.parametrize("policy", ["none", "quarantine"])
def test_forged_mail_that_a_weak_policy_lets_through_is_a_warning(
    mail: Mail, attention: Attention, policy: str
) -> None:
    mail.sent(range(1, 30), 9000, ip=FORGER, disposition="reject", policy="reject")
    mail.sent((1, 2), 10, ip=FORGER, policy=policy, header_from=f"old.{DOMAIN}")
    assert needed(attention) == {("parked-forged-delivered", ""): "warning"}
    row = attention.read()["parked-forged-delivered", ""]
    assert (row.affected, row.since) == (20, days_ago(2))


def test_fewer_delivered_than_the_minimum_are_none(mail: Mail, attention: Attention) -> None:
    mail.sent((1, 2), 9, ip=FORGER)
    assert needed(attention) == {}


@pytest.mark.parametrize("aligned", ["spf", "dkim"])
def test_mail_that_authenticates_is_never_own_mail(mail: Mail, attention: Attention, aligned: str) -> None:
    passing = {"passed": True, "spf_aligned": aligned == "spf", "dkim_aligned": aligned == "dkim"}
    mail.sent((1, 5), 1, policy="reject", **passing)
    assert needed(attention) == {("parked-mail-authenticates", OUR_NETWORK): "warning"}
    row = attention.read()["parked-mail-authenticates", OUR_NETWORK]
    assert (row.affected, row.since) == (2, days_ago(5))
    mail.storage.roll_up()
    words = "it passes as the domain, which is parked: somebody has set up a sender"
    assert piles(mail.storage) == [("unknown", words, 2, 2)]
    ready = mail.storage.ask(
        "SELECT DISTINCT verdict, own_messages, unknown_messages FROM dmarc_readiness WHERE policy_domain = {d:String}",
        d=DOMAIN,
    )
    assert ready == [("not-yet", 0, 2)]


def test_nothing_shows_that_mail_is_of_a_parked_domain(mail: Mail, attention: Attention) -> None:
    mail.sent((20,), 100, spf=True)  # before it was parked, from the same address
    mail.sent((1, 2), 100, policy="reject", disposition="reject")
    mail.sent((1, 2), 100, ip=FORGER, policy="reject", disposition="reject", reasons=["forwarded"])
    mail.storage.roll_up()
    assert {pile for pile, *_ in piles(mail.storage)} == {"unknown"}
    assert needed(attention) == {}


def test_past_of_a_domain_is_sorted_again_when_it_is_parked(mail: Mail, attention: Attention) -> None:
    park(mail.storage, parked=False)
    mail.sent((80, 20), 100, spf=True)
    mail.storage.roll_up()
    assert {pile for pile, *_ in piles(mail.storage)} == {"aligned"}
    park(mail.storage)
    mail.storage.roll_up()
    assert {pile for pile, *_ in piles(mail.storage)} == {"unknown"}
    assert needed(attention) == {}, "that was weeks ago"


def test_who_authenticates_as_a_parked_domain_is_no_sender_of_another(mail: Mail, attention: Attention) -> None:
    sent = {"policy_domain": "other.example", "header_from": "other.example", "spf_domains": [DOMAIN]}
    mail.storage.accepted("other.example", "alpha.example", "dkim", days_ago(90), TODAY, kind="dmarc")
    mail.sent((1, 2), 100, ip=FORGER, spf_results=["pass"], spf_scopes=["mfrom"], **sent)
    found = attention.read("other.example")
    assert ("dmarc-forged-delivered", "") in found
    assert ("dmarc-own-failing", FORGERS_NETWORK) not in found


def test_one_newcomer_alone_causes_nothing(mail: Mail, attention: Attention) -> None:
    mail.storage.empty()
    park(mail.storage)
    mail.known("evil.example", days=0)
    mail.sent((1, 2), 1000, spf=True, reporter="evil.example")
    mail.sent((1, 2), 1000, ip=FORGER, reporter="evil.example")
    assert needed(attention) == {}


def test_nobody_misses_reports_about_it(mail: Mail, attention: Attention, reports: Reports) -> None:
    mail.sent(range(14, 34), 100, ip=FORGER, policy="none", disposition="reject")
    for day in range(14, 34):
        reports.add(DOMAIN, day=day, successful=100)
    assert attention.read() == {}
    park(mail.storage, parked=False)
    assert set(attention.causes()) >= {"no-reports"}


def test_mail_to_it_is_one_cause_however_it_fails(attention: Attention, reports: Reports) -> None:
    reports.add(DOMAIN, day=1, successful=300, failures={"certificate-expired": 200})
    assert needed(attention) == {("parked-gets-mail", ""): "warning"}
    assert attention.affected("parked-gets-mail") == 500


PROBE = {"policy_domain": DOMAIN, "probe": "dns", "receiving_mx": "", "receiving_ip": "::", "success": False}


@pytest.mark.parametrize(
    ("record", "reason", "severity"),
    [
        ("mx", "parked-but-receives", "warning"),
        ("subdomains", "parked-but-receives", "warning"),
        ("spf", "no-record", "warning"),
        ("dmarc", "parked-but-not-rejected", "warning"),
        ("dmarc-authorization", "no-record", "warning"),
        ("dkim", "parked-but-signs", "warning"),
        ("mta-sts", "parked-but-has-policy", "info"),
        ("dkim", "no-record", "info"),
    ],
)
def test_weak_record_is_a_cause_of_its_own(
    *, attention: Attention, gauges: Gauges, reports: Reports, record: str, reason: str, severity: str
) -> None:
    for minutes in (20, 5):
        seen = {"record": record, "reason": reason, "probed_at": NOW - timedelta(minutes=minutes), "day": TODAY}
        reports.storage.put("probe_results", {**PROBE, **seen})
    assert {key: row.severity for key, row in attention.read().items()} == {("parked-unprotected", record): severity}
    gauge = f"mailposture_attention {DOMAIN} outside parked-unprotected {severity}  {record}"
    assert gauges.read()[gauge] == 1


def test_domain_that_says_so_and_is_not_marked_is_pointed_out(attention: Attention, reports: Reports) -> None:
    park(reports.storage, parked=False)
    for minutes in (20, 5):
        seen = {"record": "mx", "reason": "not-marked-as-parked", "probed_at": NOW - timedelta(minutes=minutes)}
        reports.storage.put("probe_results", {**PROBE, **seen, "day": TODAY})
    assert {key: row.severity for key, row in attention.read().items()} == {("parked-not-marked", ""): "info"}
