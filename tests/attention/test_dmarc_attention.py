"""What needs attention of what DMARC reports say: own mail that fails, forgeries, and who is believed."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from clock import NOW
from engine import TODAY, days_ago

from mailposture.checks.dmarc import Applying
from mailposture.config.model import Config
from mailposture.records.dmarc import records_among
from reports.acknowledging import Acknowledgement, acknowledge
from reports.dmarc.senders import write_senders

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from engine import Storage
    from sample_reports import Reports
    from two_domains import Attention, Gauges

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
OURS, FORGER = "192.0.2.1", "203.0.113.9"
OUR_NETWORK, FORGERS_NETWORK = "192.0.2.0/24", "203.0.113.0/24"
_keys = count(1)


class Mail:
    """Writes records of DMARC reports."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.known("alpha.example")

    def known(self, reporter: str, *, days: int = 90, trust: str = "dkim") -> None:
        """Have a reporter's reports accepted so long ago and today."""
        self.storage.accepted(DOMAIN, reporter, trust, days_ago(days), TODAY, kind="dmarc")

    def sent(
        self,
        days: Iterable[int],
        messages: int,
        *,
        ip: str = OURS,
        spf: bool = False,
        disposition: str = "none",
        policy: str = "none",
        reporter: str = "alpha.example",
        trust: str = "dkim",
        **more: Any,
    ) -> None:
        for day in days:
            row = {
                "policy_domain": DOMAIN,
                "header_from": DOMAIN,
                "day": days_ago(day),
                "report_key": next(_keys),
                "source_ip": f"::ffff:{ip}",
                "messages": messages,
                "passed": spf,
                "spf_aligned": spf,
                "dkim_aligned": False,
                "disposition": disposition,
                "published_policy": policy,
                "reporter": reporter,
                "trust": trust,
            }
            self.storage.put("dmarc_records", {**row, **more}, known=False)


@pytest.fixture
def mail(reports: Reports) -> Mail:
    return Mail(reports.storage)


def dmarc(attention: Attention) -> dict[tuple[str, str], str]:
    """Severity by cause and subject of what DMARC reports find, acknowledged or not."""
    return {key: row.severity for key, row in attention.read().items() if key[0].startswith("dmarc-")}


def test_own_mail_that_passes_is_no_cause(mail: Mail, attention: Attention) -> None:
    mail.sent(range(1, 30), 500, spf=True)
    assert dmarc(attention) == {}


@pytest.mark.parametrize(
    ("disposition", "severity"), [("none", "warning"), ("quarantine", "critical"), ("reject", "critical")]
)
def test_own_mail_that_fails_is_as_bad_as_what_receivers_do(
    mail: Mail, attention: Attention, disposition: str, severity: str
) -> None:
    mail.sent(range(2, 30), 500, spf=True)
    mail.sent((1, 2), 100, disposition=disposition, policy=disposition)
    assert dmarc(attention) == {("dmarc-own-failing", OUR_NETWORK): severity}
    row = attention.read()["dmarc-own-failing", OUR_NETWORK]
    assert (row.affected, row.of, row.since) == (200, 1200, days_ago(2))


def test_failures_up_to_the_share_or_below_the_minimum_are_no_cause(mail: Mail, attention: Attention) -> None:
    mail.sent(range(1, 30), 500, spf=True)
    mail.sent((1, 2, 3), 26)
    assert dmarc(attention) == {}
    mail.sent((1,), 10)
    assert dmarc(attention) == {("dmarc-own-failing", OUR_NETWORK): "warning"}


def test_it_is_over_once_the_newest_two_days_are_clean(mail: Mail, attention: Attention) -> None:
    mail.sent(range(4, 30), 500, spf=True)
    mail.sent((3, 4), 400)
    assert dmarc(attention) == {("dmarc-own-failing", OUR_NETWORK): "warning"}
    mail.sent((1, 2), 500, spf=True)
    assert dmarc(attention) == {}


def test_a_source_with_little_mail_is_judged_by_four_weeks(mail: Mail, attention: Attention) -> None:
    mail.sent(range(1, 30), 1000, spf=True)
    mail.sent((40,), 1, ip="192.0.3.1", spf=True)
    mail.sent(range(1, 20), 1, ip="192.0.3.1")
    assert dmarc(attention) == {}, "19 messages"
    mail.sent((20,), 1, ip="192.0.3.1")
    assert dmarc(attention) == {("dmarc-own-failing", "192.0.3.0/24"): "warning"}


def test_blocked_forgeries_are_no_incident(mail: Mail, attention: Attention) -> None:
    mail.sent(range(1, 30), 3, spf=True, policy="reject")
    mail.sent(range(1, 30), 90, ip=FORGER, disposition="reject", policy="reject")
    assert "critical" not in dmarc(attention).values()
    assert "warning" not in dmarc(attention).values()


def test_forged_mail_that_is_delivered_under_none_is_a_warning(mail: Mail, attention: Attention) -> None:
    mail.sent(range(1, 30), 500, spf=True)
    mail.sent((1, 2), 100, ip=FORGER)
    assert dmarc(attention) == {("dmarc-forged-delivered", ""): "warning"}
    row = attention.read()["dmarc-forged-delivered", ""]
    assert (row.affected, row.of, row.since) == (200, 1700, days_ago(2))


@pytest.mark.parametrize(("disposition", "severity"), [("reject", "info"), ("none", "warning")])
def test_a_surge_is_a_warning_only_where_it_is_delivered(
    mail: Mail, attention: Attention, disposition: str, severity: str
) -> None:
    mail.sent(range(1, 30), 500, spf=True, policy="reject")
    mail.sent(range(4, 30), 5, ip=FORGER, disposition="reject", policy="reject")
    mail.sent((2,), 3000, ip=FORGER, disposition=disposition, policy="reject")
    found = dmarc(attention)
    assert found["dmarc-forgery-surge", ""] == severity
    assert ("dmarc-forged-delivered", "") not in found


def test_a_new_source_that_authenticates_as_us_is_named_for_a_week(mail: Mail, attention: Attention) -> None:
    mail.sent(range(1, 30), 500, spf=True)
    mail.sent((1, 6), 50, ip="198.51.100.7", spf=True)
    assert dmarc(attention) == {("dmarc-new-source", "198.51.100.0/24"): "info"}
    mail.sent((9,), 50, ip="198.51.100.7", spf=True)
    assert dmarc(attention) == {}


def test_an_unknown_source_comes_back_when_two_reporters_see_it_on_three_days(mail: Mail, attention: Attention) -> None:
    mail.known("beta.example")
    mail.sent(range(1, 30), 5000, spf=True)
    mail.sent((3, 9), 5, ip=FORGER)
    mail.sent((9,), 5, ip=FORGER, reporter="beta.example")
    assert dmarc(attention) == {}
    mail.sent((15,), 5, ip=FORGER)
    assert dmarc(attention) == {("dmarc-unknown-source", FORGERS_NETWORK): "info"}


def test_forged_reports_neither_page_nor_hide(mail: Mail, attention: Attention) -> None:
    mail.known("new.example", days=0)
    mail.sent(range(1, 30), 500, spf=True)
    mail.sent((1, 2), 10**9, reporter="new.example")
    assert dmarc(attention) == {}
    mail.sent((1, 2), 400)
    mail.sent((1, 2), 10**9, reporter="new.example", spf=True)
    assert dmarc(attention) == {("dmarc-own-failing", OUR_NETWORK): "warning"}


def test_where_nobody_is_known_two_newcomers_must_have_seen_it(reports: Reports, attention: Attention) -> None:
    mail = Mail.__new__(Mail)
    mail.storage = reports.storage
    for reporter in ("one.example", "two.example"):
        mail.known(reporter, days=0)
        mail.sent((3,), 10, reporter=reporter, ip="198.51.100.1", spf=True)
    mail.sent((1, 2), 400, reporter="one.example", ip=FORGER)
    assert dmarc(attention) == {}
    mail.sent((1, 2), 400, reporter="two.example", ip=FORGER)
    assert dmarc(attention) == {("dmarc-forged-delivered", ""): "warning"}


def test_a_source_is_acknowledged_by_its_name(mail: Mail, attention: Attention, gauges: Gauges) -> None:
    mail.sent(range(2, 30), 500, spf=True)
    mail.sent((1, 2), 100)
    needed = f"mailposture_attention {DOMAIN} dmarc dmarc-own-failing warning"
    assert {name.strip(): value for name, value in gauges.read().items()}[needed] == 1
    known = Acknowledgement(
        policy_domain=DOMAIN,
        cause="dmarc-own-failing",
        subject=OUR_NETWORK,
        until=TODAY + timedelta(days=7),
        because="moved",
    )
    acknowledge(mail.storage.client(), mail.storage.config, known)
    assert attention.read()["dmarc-own-failing", OUR_NETWORK].acknowledged
    assert needed not in {name.strip() for name in gauges.read()}


def test_a_named_sender_is_the_subject_by_its_name(mail: Mail, attention: Attention) -> None:
    senders = [{"name": "Reminders", "addresses": ["198.51.100.40"]}]
    named = Config.model_validate({"domains": [{"name": DOMAIN, "senders": senders}]})
    write_senders(mail.storage.client(), named)
    mail.sent(range(1, 30), 500, spf=True)
    mail.sent((1, 2), 100, ip="198.51.100.40")
    assert dmarc(attention) == {("dmarc-own-failing", "Reminders"): "warning"}


def report(mail: Mail, days: Iterable[int], p: str = "reject", reporter: str = "alpha.example", **more: Any) -> None:
    for day in days:
        row = {"day": days_ago(day), "report_key": next(_keys), "reporter": reporter, "p": p, **more}
        mail.storage.put("dmarc_reports", {**row, "policy_domains": [DOMAIN], "published_domain": DOMAIN})


def test_missing_reports_are_counted_in_usual_report_days(mail: Mail, attention: Attention) -> None:
    report(mail, range(4, 60))
    assert dmarc(attention) == {("dmarc-no-reports", ""): "warning"}
    mail.known("new.example", days=0)
    report(mail, (1, 2, 3), reporter="new.example")
    assert dmarc(attention) == {("dmarc-no-reports", ""): "warning"}, "a reporter that nobody knows hides nothing"
    report(mail, (1,))
    assert dmarc(attention) == {}


def test_who_is_reported_about_once_a_week_is_not_missed_on_the_fourth_day(mail: Mail, attention: Attention) -> None:
    report(mail, range(5, 61, 7))
    assert dmarc(attention) == {}


def test_a_policy_of_none_for_four_weeks_is_named(mail: Mail, attention: Attention) -> None:
    report(mail, range(1, 28), p="none")
    assert dmarc(attention) == {}
    report(mail, (28,), p="none")
    assert dmarc(attention) == {("dmarc-policy-none-long", ""): "info"}
    report(mail, (10,), p="quarantine")
    assert dmarc(attention) == {}


def test_four_weeks_of_a_test_of_quarantine_protect_nobody(mail: Mail, attention: Attention) -> None:
    report(mail, range(1, 20), p="quarantine", testing="y")
    report(mail, range(20, 29), p="quarantine", pct=50)
    assert dmarc(attention) == {("dmarc-policy-none-long", ""): "info"}
    detail = attention.read()["dmarc-policy-none-long", ""].detail
    assert detail == f"Reporters have found that none is applied since {days_ago(28)}, at last p=quarantine with t=y."


@pytest.mark.parametrize(
    ("before", "after", "weaker"),
    [
        ("p=reject", "p=none; rua=mailto:d@shop.example", "none instead of reject to mail of the domain, none"),
        (
            "p=reject; rua=mailto:d@shop.example",
            "p=quarantine",
            "quarantine instead of reject to mail of the domain, q",
        ),
        ("p=reject", "p=reject; t=y", "quarantine instead of reject to mail of the domain, quarantine"),
        ("p=reject", "p=reject; pct=99", "quarantine instead of reject to mail of the domain, quarantine"),
        (
            "p=quarantine; sp=quarantine",
            "p=quarantine; sp=none",
            "none instead of quarantine to mail of names below it, n",
        ),
        ("p=reject", "p=reject; np=none", "none instead of reject to mail of names below it that do not exist."),
        ("p=none; np=reject", "p=none", "none instead of reject to mail of names below it that do not exist."),
        ("p=none; sp=reject", "p=reject; sp=none; np=reject", "none instead of reject to mail of names below it."),
        ("p=quarantine", "p=reject", ""),
        ("p=quarantine", "p=reject; t=y", ""),
        ("p=quarantine; pct=50", "p=quarantine; t=y", ""),
        ("p=reject; sp=none", "p=reject; sp=quarantine; np=none", ""),
        ("p=none", "p=none; sp=none; t=y", ""),
    ],
)
def test_a_weaker_policy_than_within_two_weeks_is_named(mail: Mail, before: str, after: str, weaker: str) -> None:
    probed(mail, 60, before)
    probed(mail, 2, after)
    assert weakened(mail) == [], "one probe alone"
    probed(mail, 1, after)
    if not weaker:
        assert weakened(mail) == []
        return
    ((detail, since),) = weakened(mail)
    assert detail.startswith(f'It was "v=DMARC1; {before}", and is "v=DMARC1; {after}": receivers apply {weaker}')
    assert since == (NOW - timedelta(hours=60)).date()


def test_a_weaker_policy_is_a_warning_about_the_record(mail: Mail, attention: Attention) -> None:
    for hours, published in ((60, "p=reject"), (2, "p=reject; sp=none"), (1, "p=reject; sp=none")):
        probed(mail, hours, published)
    assert dmarc(attention) == {("dmarc-policy-weakened", "dmarc"): "warning"}


def test_what_was_stronger_two_weeks_ago_and_what_nobody_can_use_is_no_weakening(mail: Mail) -> None:
    probed(mail, 24 * 16, "p=reject")
    for hours in (50, 2, 1):
        probed(mail, hours, "p=quarantine")
    for hours in (0.5, 0.4):
        probed(mail, hours, None)
    assert weakened(mail) == []


def weakened(mail: Mail) -> list[tuple[str, date]]:
    """What is said of a weaker policy, and since when it is so."""
    query = "SELECT detail, assumeNotNull(since) FROM dmarc_silences WHERE cause = 'dmarc-policy-weakened'"
    return [(str(detail), since) for detail, since in mail.storage.unsorted().query(query).result_rows]


def probed(mail: Mail, hours: float, published: str | None) -> None:
    """Have our probes find a record so long ago; None is none."""
    when = NOW - timedelta(hours=hours)
    row: dict[str, Any] = {"day": when.date(), "probed_at": when, "policy_domain": DOMAIN, "probe": "dns"}
    if published is not None:
        (record,) = records_among([f"v=DMARC1; {published}".encode()])
        row |= {"published": record.text, "policies": Applying(place=DOMAIN, record=record, tag="p").policies}
    mail.storage.put("probe_results", {**row, "record": "dmarc", "receiving_mx": "", "receiving_ip": "::"})


def test_gauges_count_messages_by_pile_and_outcome_of_reporters_that_count(mail: Mail, gauges: Gauges) -> None:
    mail.known("new.example", days=0)
    mail.sent((1, 2, 4), 500, spf=True)
    mail.sent((1,), 30, disposition="quarantine")
    mail.sent((3,), 70, ip=FORGER, disposition="reject")
    mail.sent((1,), 10**9, ip=FORGER, reporter="new.example")
    report(mail, (2,))
    found = {name: value for name, value in gauges.read().items() if name.startswith("dmarc_")}
    assert {name: value for name, value in found.items() if value and "messages" in name} == {
        f"dmarc_messages {DOMAIN} aligned delivered": 1000,
        f"dmarc_messages {DOMAIN} ours-failing quarantined": 30,
        f"dmarc_messages {DOMAIN} unknown rejected": 70,
    }
    assert {name: value for name, value in found.items() if value and "reporters" in name} == {
        f"dmarc_reporters {DOMAIN} established yes": 1,
        f"dmarc_reporters {DOMAIN} newcomer no": 1,
    }
    newest = datetime.combine(days_ago(2), time(), UTC).timestamp()
    assert found[f"dmarc_last_report_day_timestamp_seconds {DOMAIN}"] == newest
