"""May the policy be stricter? Stories on the real engine, each with the verdict that a careful person would give."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
import pytest
from clock import NOW
from engine import DOMAIN, days_ago
from test_dmarc_sources import ANYBODY, FORWARDER, SERVER, configure, failing, sent

from cli import dmarc_readiness, records
from mailposture.clickhouse.reference import write_domains
from mailposture.config.domains import Domain
from mailposture.records.dns_records import dmarc_record, mta_sts_record
from reports.acknowledging import Acknowledgement, acknowledge
from reports.dmarc.readiness import Verdict, read_readiness
from reports.dmarc.sources import read_senders

if TYPE_CHECKING:
    from engine import Storage

    from reports.dmarc.readiness import DmarcReadiness, Step


pytestmark = pytest.mark.slow

REPORTERS = ("Receiver One", "Receiver Two")


def days_of(*records: dict[str, Any], first: int = 30, last: int = 1) -> list[dict[str, Any]]:
    """The same records on each day, from both reporters."""
    return [
        {**record, "day": days_ago(day), "organization": reporter, "report_key": 10 * day + key}
        for day in range(last, first + 1)
        for key, reporter in enumerate(REPORTERS)
        for record in records
    ]


def published(storage: Storage, p: str, *, first: int = 60, last: int = 1, **more: Any) -> None:
    """Reports that found the policy on these days."""
    storage.put(
        "dmarc_reports",
        *(
            {
                "day": days_ago(day),
                "report_key": day,
                "organization": "Receiver One",
                "p": p,
                "sp": p,
                "period_end": NOW - timedelta(days=day - 1),
                **more,
            }
            for day in range(last, first + 1)
        ),
    )


def ready(storage: Storage) -> DmarcReadiness:
    found = read_readiness(storage.client("analyst"), DOMAIN)
    assert found is not None
    return found


def as_text(domain: str, readiness: DmarcReadiness) -> str:
    return click.unstyle(dmarc_readiness.as_text(domain, readiness))


def step(storage: Storage, name: str, scope: str = "domain") -> Step:
    return next(each for each in ready(storage).steps if (each.step, each.scope) == (name, scope))


GOOD = sent(0, spf=DOMAIN, dkim=DOMAIN, aligned="spf dkim", messages=100)


def test_mail_that_all_passes_is_safe_step_by_step(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "none")
    assert step(storage, "quarantine").verdict is Verdict.SAFE
    assert step(storage, "quarantine").reasons == ("6000 of 6000 own messages pass, seen by 2 reporters on 30 days.",)
    reject = step(storage, "reject")
    assert (reject.verdict, reject.is_next) == (Verdict.NOT_YET, False)
    assert reject.reasons == ("The policy is none: go to quarantine first, and stay there for four weeks.",)
    text = as_text(DOMAIN, ready(storage))
    assert "example.com: DMARC: safe for p=quarantine (now none)" in text
    assert "Publish p=quarantine with t=y first" in text


def test_records_propose_the_step_that_is_safe_and_no_other(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "none")

    def proposed(text: str) -> tuple[str | None, list[str]]:
        (record,), kept = records.stricter(storage.client("analyst"), [dmarc_record(DOMAIN, text)])
        return record.value, kept

    assert proposed("v=DMARC1; p=none") == ("v=DMARC1; p=quarantine; t=y", [])
    assert proposed("v=DMARC1; p=quarantine; t=y") == ("v=DMARC1; p=quarantine", [])
    text, kept = proposed("v=DMARC1; p=quarantine")
    assert text == "v=DMARC1; p=quarantine"
    assert "p=reject is not known to be safe. The policy is none" in kept[0]
    other = [dmarc_record("other.example", "v=DMARC1; p=none"), mta_sts_record(DOMAIN, b"x")]
    unchanged, kept = records.stricter(storage.client("analyst"), other)
    assert unchanged == other
    assert len(kept) == 1


def test_reject_waits_until_quarantine_has_been_there_for_four_weeks(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "none", first=60, last=21)
    published(storage, "quarantine", first=20)
    reject = step(storage, "reject")
    assert (reject.verdict, reject.policy) == (Verdict.NOT_YET, "quarantine")
    assert reject.reasons == (
        f"The policy has been quarantine since {days_ago(20)}: wait until it has been so for four weeks.",
    )


@pytest.mark.parametrize("reservation", [{"testing": "y"}, {"pct": 0}, {"pct": 50}], ids=["t=y", "pct=0", "pct=50"])
def test_what_is_published_with_a_reservation_is_not_what_is_applied(
    storage: Storage, reservation: dict[str, Any]
) -> None:
    said = "; ".join("t=y" if tag == "testing" else f"{tag}={value}" for tag, value in reservation.items())
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "quarantine", **reservation)
    quarantine, reject = step(storage, "quarantine"), step(storage, "reject")
    assert (quarantine.verdict, quarantine.is_next) == (Verdict.SAFE, True)
    assert (quarantine.policy, quarantine.published) == ("none", f"p=quarantine; {said}")
    assert reject.reasons == (
        f"The policy is none (p=quarantine; {said}): go to quarantine first, and stay there for four weeks.",
    )
    text = as_text(DOMAIN, ready(storage))
    assert f"example.com: DMARC: safe for p=quarantine (now none: p=quarantine; {said})" in text
    assert f"p=quarantine; {said} is published: take {said} out." in text


def test_weeks_of_a_test_of_reject_are_weeks_of_quarantine(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "quarantine", first=60, last=32, testing="y")
    published(storage, "reject", first=31, testing="y")
    reject = step(storage, "reject")
    assert (reject.verdict, reject.policy, reject.is_next) == (Verdict.SAFE, "quarantine", True)


def test_weeks_of_a_test_of_quarantine_are_weeks_of_none(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "quarantine", first=60, last=11, testing="y")
    published(storage, "quarantine", first=10)
    assert step(storage, "reject").reasons == (
        f"The policy has been quarantine since {days_ago(10)}: wait until it has been so for four weeks.",
    )


def test_subdomains_have_a_test_of_their_own_policy(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "quarantine", sp="reject", testing="y")
    both = {each.scope: (each.policy, each.published) for each in ready(storage).steps if each.is_next}
    assert both == {"domain": ("none", "p=quarantine; t=y"), "subdomains": ("quarantine", "sp=reject; t=y")}


def test_blocked_forgeries_speak_against_nothing(storage: Storage) -> None:
    forged = failing(1, ip=ANYBODY, messages=5000, disposition="reject", published_policy="quarantine")
    storage.put("dmarc_records", *days_of(GOOD), *days_of(forged, first=2))
    published(storage, "quarantine")
    reject = step(storage, "reject")
    assert (reject.verdict, reject.refused_messages, reject.unknown_messages) == (Verdict.SAFE, 0, 20_000)


def test_a_source_of_ours_that_fails_is_named_however_small_it_is(storage: Storage) -> None:
    news = {"spf": "bounce.mcsv.net", "dkim": "mcsv.net", "messages": 1}
    storage.put("dmarc_records", *days_of(GOOD, failing(1, ip=ANYBODY, **news)))
    configure(storage, {"name": "News", "services": ["Mailchimp"]})
    published(storage, "none")
    quarantine = step(storage, "quarantine")
    assert (quarantine.verdict, quarantine.refused_messages) == (Verdict.NOT_YET, 60)
    assert quarantine.reasons == (
        "Own mail fails and would be put into quarantine: Mailchimp 60 messages (dkim-other-domain).",
    )
    (source,) = ready(storage).sources
    assert (source.source, source.pile, source.refused_messages) == ("Mailchimp", "ours-failing", 60)
    assert "Mailchimp                     ours-failing  dkim-other-domain" in as_text(DOMAIN, ready(storage))


def test_a_forgotten_vendor_waits_for_a_name(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD, failing(1, ip=ANYBODY, messages=2)))
    published(storage, "none")
    quarantine = step(storage, "quarantine")
    assert quarantine.verdict is Verdict.NOT_YET
    assert quarantine.reasons[0].startswith("Unknown sources come back, and may be yours: 203.0.113.0/24. Name them")
    assert "Unknown sources that come back" in as_text(DOMAIN, ready(storage))
    not_ours = Acknowledgement(
        policy_domain=DOMAIN,
        cause="dmarc-unknown-source",
        subject="203.0.113.0/24",
        until=days_ago(-30),
        because="a former vendor",
    )
    acknowledge(storage.client(), storage.config, not_ours)
    storage.roll_up()
    assert step(storage, "quarantine").verdict is Verdict.SAFE


def test_a_forgotten_vendor_whose_addresses_change_waits_for_a_name(storage: Storage) -> None:
    """Each network of it was seen on one day, with two messages."""
    rows = days_of(GOOD)
    for day in range(1, 15):
        vendor = failing(1, ip=f"::ffff:203.0.{day}.9", dkim="mail.vendor.example", messages=1)
        rows += days_of(vendor, first=2 * day, last=2 * day)
    storage.put("dmarc_records", *rows)
    published(storage, "none")
    quarantine = step(storage, "quarantine")
    assert quarantine.verdict is Verdict.NOT_YET
    assert quarantine.reasons[0].startswith("Unknown sources come back, and may be yours: vendor.example. Name them")
    configure(storage, {"name": "Vendor", "domains": ["vendor.example"]})
    assert step(storage, "quarantine").reasons == (
        "Own mail fails and would be put into quarantine: Vendor 28 messages (dkim-other-domain).",
    )


@pytest.mark.parametrize(
    ("days", "waits"), [((3, 10), True), ((3, 17), True), ((3, 9), False), ((3, 4), False), ((3, 4, 5), True)]
)
def test_who_comes_back_after_a_week_waits_for_a_name(storage: Storage, days: tuple[int, ...], waits: bool) -> None:
    rows = [row for day in days for row in days_of(failing(1, ip=ANYBODY, messages=5), first=day, last=day)]
    storage.put("dmarc_records", *days_of(GOOD), *rows)
    published(storage, "none")
    assert step(storage, "quarantine").verdict is (Verdict.NOT_YET if waits else Verdict.SAFE)


@pytest.mark.parametrize("authenticates", [True, False])
def test_forgers_who_change_domains_and_addresses_leave_a_policy_safe_and_are_counted(
    storage: Storage,
    authenticates: bool,
) -> None:
    rows = days_of(GOOD)
    for number in range(300):
        address = f"::ffff:198.{18 + number // 256}.{number % 256}.9"
        domain = f"forger{number}.example" if authenticates else ""
        day = 1 + number % 30
        rows += days_of(sent(100 + number, dkim=domain, ip=address, messages=3), first=day, last=day)
    storage.put("dmarc_records", *rows)
    published(storage, "none")
    quarantine = step(storage, "quarantine")
    assert quarantine.verdict is Verdict.SAFE
    assert quarantine.reasons[0] == "6000 of 6000 own messages pass, seen by 2 reporters on 30 days."
    assert quarantine.reasons[1].startswith("1800 messages of unknown origin would be put into quarantine too: ")
    assert quarantine.reasons[1].endswith(" 6 and 297 more sources.")
    assert quarantine.reasons[1].count("forger") == (3 if authenticates else 0)


@pytest.mark.parametrize("number", range(3))
def test_what_keeps_coming_is_what_readiness_waits_for(storage: Storage, number: int) -> None:
    chance = random.Random(number)
    rows = days_of(GOOD)
    for network in range(30):
        ip = f"::ffff:203.0.{network}.9"
        for day in range(1, chance.choice((2, 3, 4, 31))):
            row = failing(network, ip=ip, messages=chance.choice((1, 3, 4, 60)), day=days_ago(day))
            row |= {"disposition": chance.choice(("none", "none", "reject")), "report_key": chance.randrange(2**63)}
            rows += [{**row, "organization": each} for each in chance.choice((REPORTERS, REPORTERS[:1]))]
    storage.put("dmarc_records", *rows)
    forged = {**failing(40, ip="::ffff:203.0.40.9", messages=50), "organization": "Forger"}
    storage.put("dmarc_records", *({**forged, "day": days_ago(day)} for day in range(1, 9)), known=False)
    published(storage, "none")
    waiting = {
        source
        for (source,) in storage.ask("SELECT source FROM dmarc_readiness_sources WHERE waits AND NOT possibly_ours")
    }
    assert 3 < len(waiting) < 30

    def keeps_coming() -> set[str]:
        senders = read_senders(storage.client("analyst"), DOMAIN, days=30)
        return {each.source for each in senders.to_do if each.state == "keeps-coming"}

    assert keeps_coming() == waiting
    known = min(waiting)
    for subject, left in ((known, waiting - {known}), ("", set())):
        not_ours = Acknowledgement(
            policy_domain=DOMAIN,
            cause="dmarc-unknown-source",
            subject=subject,
            until=days_ago(-30),
            because="a former vendor",
        )
        acknowledge(storage.client(), storage.config, not_ours)
        assert keeps_coming() == left


def test_what_has_no_verdict_is_evidence_of_nothing(storage: Storage) -> None:
    """Of a server of ours, of a vendor who would wait for a name, and of a forger whose mail is delivered."""
    vendor = failing(2, ip=ANYBODY, messages=50, evaluated=False)
    storage.put("dmarc_records", *days_of(GOOD, failing(1, messages=900, evaluated=False), vendor))
    published(storage, "none")
    quarantine = step(storage, "quarantine")
    assert (quarantine.verdict, quarantine.refused_messages, quarantine.unknown_messages) == (Verdict.SAFE, 0, 0)
    found = storage.ask("SELECT cause FROM attention WHERE policy_domain = {d:String} AND kind = 'dmarc'", d=DOMAIN)
    assert set(found) <= {("dmarc-policy-none-long",)}
    of_days = "SELECT sum(messages), sum(passed_messages), sum(unevaluated_messages) FROM dmarc_daily"
    assert storage.ask(of_days) == [(63_000, 6000, 57_000)]
    of_sources = "SELECT pile, reason, possibly_ours, sum(messages) FROM dmarc_sources_daily GROUP BY ALL ORDER BY 1"
    assert storage.ask(of_sources) == [("aligned", "", False, 6000), ("unknown", "no-verdict", True, 57_000)]


def test_forgers_who_change_addresses_or_are_refused_wait_for_no_name(storage: Storage) -> None:
    one_day = days_of(failing(1, ip=ANYBODY, messages=500), first=2)
    refused = days_of(failing(2, ip=FORWARDER, messages=500, disposition="quarantine"))
    storage.put("dmarc_records", *days_of(GOOD), *one_day, *refused)
    published(storage, "none")
    assert step(storage, "quarantine").verdict is Verdict.SAFE


def test_mailing_lists_speak_against_reject_and_not_quarantine(storage: Storage) -> None:
    lists = failing(1, ip=FORWARDER, messages=1, reasons=["mailing_list"], comments=[""])
    storage.put("dmarc_records", *days_of(GOOD, lists))
    published(storage, "quarantine")
    assert step(storage, "quarantine").verdict is Verdict.SAFE
    assert step(storage, "reject").reasons == (
        "60 messages that mailing lists or forwarders changed would be refused.",
    )


def test_reject_does_not_rest_on_spf_alone(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD, sent(1, spf=DOMAIN, aligned="spf", messages=25)))
    published(storage, "quarantine")
    assert step(storage, "reject").reasons == (
        "20 % of own mail passes by SPF alone, and fails once it is forwarded: sign it with DKIM.",
    )


def test_little_evidence_is_unclear(storage: Storage) -> None:
    storage.put("dmarc_records", {**GOOD, "organization": "Receiver One"})
    published(storage, "none", first=1)
    quarantine = step(storage, "quarantine")
    assert quarantine.verdict is Verdict.UNCLEAR
    assert quarantine.reasons == (
        "Only 1 reporters that count saw own mail; two are needed.",
        "Only 1 of 30 days have reports; 14 are needed.",
    )


def test_forged_reports_speak_neither_against_a_policy_nor_for_it(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD))
    published(storage, "none")
    forged = {"organization": "Forger", "report_key": 7}
    storage.put("dmarc_records", failing(5, ip=SERVER, messages=90_000, **forged), known=False)
    quarantine = step(storage, "quarantine")
    assert (quarantine.verdict, quarantine.own_messages) == (Verdict.SAFE, 6000)


def test_forged_policy_of_subdomains_hides_no_failing_subdomain(storage: Storage) -> None:
    storage.put("dmarc_records", *days_of(GOOD, failing(2, messages=50, header_from=f"shop.{DOMAIN}")))
    for organization, key in (("Receiver One", 100), ("Receiver Two", 200)):
        published(storage, "none", first=3, organization=organization, report_key=key)
    before = ready(storage).steps
    assert (before[0].verdict, before[0].refused_messages) == (Verdict.NOT_YET, 3000)
    forged = {"organization": "Forger", "report_key": 7, "period_end": NOW + timedelta(days=1)}
    storage.put("dmarc_reports", {**forged, "p": "none", "sp": "reject"})
    assert ready(storage).steps == before
    storage.accepted(DOMAIN, "forger.example", "dkim", days_ago(2), days_ago(1), kind="dmarc")
    assert storage.ask("SELECT counts FROM dmarc_reporters WHERE reporter = 'forger.example'") == [(True,)]
    assert ready(storage).steps == before, "one reporter that counts is not most of them"


def test_forger_who_repeats_what_others_report_is_no_second_reporter(storage: Storage) -> None:
    vendor = failing(1, ip=ANYBODY, messages=2)
    by_one = [row for row in days_of(GOOD, vendor) if row["organization"] == REPORTERS[0]]
    storage.put("dmarc_records", *by_one)
    published(storage, "none")
    before = ready(storage)
    assert before.steps[0].reasons == (
        "Only 1 reporters that count saw own mail; two are needed.",
        "60 messages of unknown origin would be put into quarantine too: 203.0.113.0/24 60.",
    )
    storage.put("dmarc_records", *({**row, "organization": "Forger", "report_key": 7} for row in by_one), known=False)
    assert ready(storage) == before


def test_subdomains_with_another_policy_stand_apart(storage: Storage) -> None:
    sub = {"header_from": f"shop.{DOMAIN}"}
    storage.put(
        "dmarc_records",
        *days_of(GOOD, sent(1, spf=DOMAIN, aligned="spf", **sub), failing(2, messages=50, **sub)),
    )
    published(storage, "quarantine", sp="none")
    assert step(storage, "reject").verdict is Verdict.SAFE
    subdomains = step(storage, "quarantine", scope="subdomains")
    assert (subdomains.verdict, subdomains.policy, subdomains.refused_messages) == (Verdict.NOT_YET, "none", 3000)
    assert f"subdomains of {DOMAIN}: DMARC: not yet safe" in as_text(DOMAIN, ready(storage))


def test_subdomain_with_a_record_of_its_own_weighs_on_itself_alone(storage: Storage) -> None:
    shop = f"shop.{DOMAIN}"
    own = {"header_from": shop, "published_domain": shop}
    below = {"header_from": f"eu.{shop}", "published_domain": shop}
    storage.put(
        "dmarc_records",
        *days_of(
            GOOD,
            sent(1, spf=DOMAIN, aligned="spf", messages=5, header_from=f"news.{DOMAIN}"),
            sent(2, spf=shop, aligned="spf", messages=50, **own),
            failing(3, messages=50, **own),
            failing(4, messages=20, **below),
            failing(5, ip=ANYBODY, messages=2, **own),
        ),
    )
    published(storage, "quarantine")
    published(storage, "none", published_domain=shop, organization="Receiver Two", report_key=500)
    assert step(storage, "reject").verdict is Verdict.SAFE
    assert step(storage, "reject").own_messages == 6300
    assert ready(storage).ready
    of_shop = step(storage, "quarantine", scope=shop)
    assert (of_shop.verdict, of_shop.policy, of_shop.own_messages) == (Verdict.NOT_YET, "none", 7200)
    assert (of_shop.refused_messages, of_shop.is_next) == (4200, True)
    assert "203.0.113.0/24" in of_shop.reasons[1]
    text = as_text(DOMAIN, ready(storage))
    assert f"{DOMAIN}: DMARC: safe for p=reject (now quarantine)" in text
    assert f"{shop}: DMARC: not yet safe for p=quarantine (now none)" in text
    assert f"seen by 2; {shop}" in text


def test_parked_domain_is_safe_at_once(storage: Storage) -> None:
    parked = storage.config.domains[0].model_copy(update={"parked": True})
    write_domains(
        storage.client(), storage.config.model_copy(update={"domains": (parked, Domain(name="mail.example"))})
    )
    storage.put("dmarc_records", *days_of(failing(0, ip=ANYBODY, messages=50)))
    assert {each.verdict for each in ready(storage).steps} == {Verdict.SAFE}


def test_parked_domain_that_sends_is_not_parked(storage: Storage) -> None:
    parked = storage.config.domains[0].model_copy(update={"parked": True})
    write_domains(
        storage.client(), storage.config.model_copy(update={"domains": (parked, Domain(name="mail.example"))})
    )
    storage.put("dmarc_records", *days_of(GOOD))
    steps = ready(storage).steps
    assert {each.verdict for each in steps} == {Verdict.NOT_YET}
    assert "somebody sends with it" in steps[0].reasons[0]


def test_without_reports_there_is_nothing_to_say(storage: Storage) -> None:
    assert read_readiness(storage.client("analyst"), DOMAIN) is None
