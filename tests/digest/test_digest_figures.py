"""A digest says what the summaries and the view `attention` say, and what is otherwise than a week before."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import TODAY, days_ago

from mailposture.clickhouse.reference import write_domains
from reports.attention import read_attention
from reports.digest.digest import Changes, Digest, Passing, Ready, RecordChange, Turned
from reports.digest.page import page
from reports.digest.reading import read_digest
from reports.digest.text import as_text
from reports.digest.week import Week
from reports.dmarc import summary as dmarc_summary
from reports.tls.summary import summarize

if TYPE_CHECKING:
    from engine import Storage
    from sample_reports import Reports

pytestmark = pytest.mark.slow

DOMAIN = "shop.example"
MX = "mx1.shop.example"
WEEK = Week(TODAY)


def read(storage: Storage, week: Week = WEEK) -> Digest:
    return read_digest(storage.client("analyst"), week)


def causes(problems: object) -> list[tuple[str, str]]:
    return [(each.policy_domain, each.cause) for each in problems]


def test_figures_equal_those_of_the_summaries_of_the_same_days(two_domains: Storage, reports: Reports) -> None:
    for day in range(1, 16):
        reports.add(DOMAIN, day=day, successful=2**day, failures={"certificate-expired": day})
        two_domains.put(
            "dmarc_records", {"policy_domain": DOMAIN, "header_from": DOMAIN, "day": days_ago(day), "messages": 2**day}
        )
    client = two_domains.client("analyst")
    (line,) = [each for each in read(two_domains).domains if each.policy_domain == DOMAIN]
    (summary,) = summarize(client, days=7, domain=DOMAIN)
    assert line.tls == summary
    assert line.dmarc == dmarc_summary.summarize(client, days=7, domain=DOMAIN)[DOMAIN]
    assert [each.share for each in line.tls_days] == [2**day / (2**day + day) for day in range(7, 0, -1)]
    assert [each.share for each in line.own_mail_days] == [1.0] * 7
    (line,) = [each for each in read(two_domains, WEEK.before).domains if each.policy_domain == DOMAIN]
    assert line.tls.sessions == sum(2**day + day for day in range(8, 15))


def test_it_names_the_causes_of_the_view_attention_with_their_servers(two_domains: Storage, reports: Reports) -> None:
    for organization, mx in (("A", MX), ("B", "mx2.shop.example")):
        reports.add(DOMAIN, organization=organization, day=1, failures={"certificate-expired": 100}, receiving_mx=mx)
    content = read(two_domains)
    needed = read_attention(two_domains.client("analyst"))
    assert {(each.policy_domain, each.cause) for each in needed if each.waits} == set(causes(content.problems))
    (found,) = [each for each in content.problems if each.cause == "certificate"]
    assert found.subjects == (MX, "mx2.shop.example")
    assert (found.affected, found.of, found.since) == (200, 200, days_ago(1))
    assert f"-connect {MX}:25" in found.action
    assert content.verdict.startswith("Act now: ")


def test_what_began_and_what_ended_against_the_week_before(two_domains: Storage, reports: Reports) -> None:
    for day in range(10, 6, -1):
        reports.add(DOMAIN, day=day, successful=1, failures={"starttls-not-supported": 100}, receiving_mx=MX)
    for day in range(6, 0, -1):
        failures = {"certificate-expired": 100} if day < 3 else {}
        reports.add(DOMAIN, day=day, successful=200, failures=failures, receiving_mx=MX)
    changes = read(two_domains).changes
    assert (DOMAIN, "certificate") in causes(changes.new)
    assert (DOMAIN, "starttls-not-supported") in causes(changes.ended)
    assert causes(read(two_domains, WEEK.before).changes.ended) == []


def test_a_mode_that_turned_and_a_domain_that_became_ready(two_domains: Storage, reports: Reports) -> None:
    for organization in ("A", "B"):
        for day in range(8, 17):
            reports.add(DOMAIN, organization=organization, day=day, successful=50, sts_mode="none")
        for day in range(1, 8):
            reports.add(DOMAIN, organization=organization, day=day, successful=50, sts_mode="testing")
    content = read(two_domains)
    assert Turned(DOMAIN, "MTA-STS mode", "none", "testing") in content.changes.turned
    reports.add(DOMAIN, organization="C", day=9, successful=100, failures={"certificate-expired": 100})
    earlier = read(two_domains, WEEK.before)
    assert not earlier.changes.ready
    assert Ready(DOMAIN, "MTA-STS mode enforce") not in content.changes.ready, "it was so a week before"


def test_a_record_that_changed_from_what_to_what(two_domains: Storage) -> None:
    def saw(day: int, published: str, record: str = "spf", subject: str = "") -> None:
        made = {"probe": "dns", "policy_domain": DOMAIN, "record": record, "subject": subject, "day": days_ago(day)}
        at = datetime.combine(days_ago(day), time(12), UTC)
        two_domains.put("probe_results", {**made, "probed_at": at, "success": True, "published": published})

    key = f"s1._domainkey.{DOMAIN}"
    for day, spf in ((9, "v=spf1 mx -all"), (5, "v=spf1 -all"), (4, "v=spf1 mx a -all"), (1, "v=spf1 mx a ~all")):
        saw(day, spf)
    for day, dkim in ((9, "v=DKIM1; p=AAAA"), (3, ""), (2, "v=DKIM1; p=AAAA")):
        saw(day, dkim, "dkim", key)
    assert read(two_domains).changes.records == (
        RecordChange(DOMAIN, "dkim", key, days_ago(2), "v=DKIM1; p=AAAA", "v=DKIM1; p=AAAA"),
        RecordChange(DOMAIN, "spf", "", days_ago(1), "v=spf1 mx -all", "v=spf1 mx a ~all"),
    )


@pytest.mark.parametrize("others", [0, 5_000])
def test_a_team_has_as_many_domains_as_it_likes(two_domains: Storage, reports: Reports, others: int) -> None:
    """Names that are too long together for one parameter of a query."""
    for day in range(1, 8):
        reports.add(DOMAIN, organization="A", day=day, successful=10)
        reports.add("other.example", organization="B", day=day, successful=10)
    team = {DOMAIN, *(f"{number:05}.{'.'.join(3 * ['x' * 60])}.example" for number in range(others))}
    content = read_digest(two_domains.client("exporter"), WEEK, domains=team, scope="team web")
    assert [each.policy_domain for each in content.domains] == [DOMAIN]
    assert [each.name for each in content.tls_reporters.active] == ["A (a.example)"]


def test_a_certificate_that_comes_due_before_the_next_digest(two_domains: Storage) -> None:
    expires = datetime.combine(TODAY + timedelta(days=18), time(), UTC)
    two_domains.put(
        "probe_results",
        {"policy_domain": DOMAIN, "day": days_ago(1), "receiving_mx": MX, "certificate_not_after": expires},
    )
    assert [(each.server, each.expires) for each in read(two_domains).changes.certificates] == [(MX, expires.date())]


def test_who_used_to_report_and_stopped(two_domains: Storage, reports: Reports) -> None:
    for day in range(1, 30):
        reports.add(DOMAIN, organization="Steady", day=day, successful=10)
    for day in range(9, 30):
        reports.add(DOMAIN, organization="Gone", day=day, successful=10)
    reports.add(DOMAIN, organization="Seldom", day=20, successful=10)
    reporters = read(two_domains).tls_reporters
    assert [(each.name, each.amount) for each in reporters.active] == [("Steady (steady.example)", 70)]
    assert [(each.name, each.last_day) for each in reporters.stopped] == [("Gone (gone.example)", days_ago(9))]


def test_days_as_bad_as_an_alert_that_are_over_came_and_went(two_domains: Storage, reports: Reports) -> None:
    for day in range(1, 36):
        failures = {"certificate-expired": {5: 20, 6: 19}.get(day, 0)}
        reports.add(DOMAIN, day=day, successful=100, failures=failures, sts_mode="testing")
    content = read(two_domains)
    (line,) = [each for each in content.domains if each.policy_domain == DOMAIN]
    assert [each.bad for each in line.tls_days] == [False, False, True, False, False, False, False]
    assert content.changes.passing == (Passing(DOMAIN, "tls", (days_ago(5),)),)
    assert not content.quiet


@pytest.mark.usefixtures("reports")
def test_of_parked_domains_alone_no_reports_are_missed(two_domains: Storage) -> None:
    parked = tuple(each.model_copy(update={"parked": True}) for each in two_domains.config.domains)
    config = two_domains.config.model_copy(update={"domains": parked, "recipients": ("dmarc@mail.example",)})
    write_domains(two_domains.client(), config)
    content = read(two_domains)
    assert content.quiet
    title, nothing, *lines = as_text(page(content)).splitlines()
    assert (title.startswith("Mail security, "), nothing) == (True, "")
    assert lines == [
        "All is well at all 2 domains: nothing needs attention.",
        "Parked domains: other.example and shop.example.",
        "Nobody was seen to send in their names.",
    ]
    assert page(content).subject.endswith(": all is well")
    forged = {"policy_domain": DOMAIN, "header_from": DOMAIN, "published_policy": "reject", "disposition": "reject"}
    forged |= {"passed": False, "dkim_aligned": False}
    for day in (2, 9):
        two_domains.put("dmarc_records", {**forged, "day": days_ago(day), "messages": 453})
    content = read(two_domains)
    assert (content.changes, content.problems) == (Changes(), ())
    assert as_text(page(content)).splitlines()[4].startswith("453 forgeries blocked. When there is time: ")


def test_a_quiet_week_is_quiet(two_domains: Storage, reports: Reports) -> None:
    for domain in (DOMAIN, "other.example"):
        for day in range(1, 36):
            reports.add(domain, day=day, successful=100, sts_mode="enforce")
    content = read(two_domains)
    assert content.verdict == "All is well at all 2 domains: nothing needs attention."
    assert content.quiet, (content.changes, content.problems)
