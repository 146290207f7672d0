"""The demo's stories are found again in the rows that the collector makes of its mails."""

from collections import Counter
from datetime import timedelta

import pytest
import yaml
from clock import NOW

from collector.ingest.judge import Accepted, Judge, Quarantined, Rejected
from collector.trust import DkimVerifier, KeyCache
from demo.config import config_text
from demo.keys import public_records
from demo.mail import Fate
from demo.nameserver import Nameserver
from demo.odd_mails import odd_mails
from demo.senders import SENDERS
from mailposture.config.model import Config
from reports.envelope import Envelope, Source, Trust


@pytest.fixture(scope="module")
def judge(demo_keys):
    with Nameserver(public_records(demo_keys)) as nameserver:
        config = Config.model_validate(yaml.safe_load(config_text(nameserver=nameserver.address)))
        keys = KeyCache(nameservers=config.authentication.nameservers)
        verifier = DkimVerifier(keys=keys, patience=10)
        yield Judge(config, verifier=verifier)
        keys.close()


def judge_all(judge, mails):
    received = [
        (
            Envelope(source=Source.SMTP, received_at=NOW, mail_from=mail.mail_from, recipients=(mail.recipient,)),
            mail.content,
        )
        for mail in mails
    ]
    return judge.judge(received, now=NOW)


@pytest.fixture(scope="module")
def judgements(judge, demo_mails):
    return judge_all(judge, demo_mails)


@pytest.fixture(scope="module")
def rows(judgements):
    return [each for verdict in judgements if isinstance(verdict, Accepted) for each in verdict.reports]


@pytest.fixture(scope="module")
def failures(rows, today):
    """Failed sessions by domain, result type, days ago, MX and organization."""
    counted = Counter()
    for each in rows:
        for row in each.failures:
            days_ago = (today - row.day).days
            counted[row.policy_domain, row.result_type, days_ago, row.receiving_mx, row.organization] += (
                row.failed_sessions if row.counts else 0
            )
    return +counted


def days_of(failures, domain, result_type):
    return {key[2] for key in failures if key[:2] == (domain, result_type)}


def test_every_mail_of_the_month_is_believed_by_its_signature(judgements, demo_mails):
    wrong = [verdict for verdict in judgements if not isinstance(verdict, Accepted)]
    assert wrong == []
    assert {each.report.trust for verdict in judgements for each in verdict.reports} == {Trust.DKIM}
    assert 2_000 <= len(judgements) == len(demo_mails) <= 2_600


def test_no_two_reports_are_taken_for_one(rows):
    assert len({(each.report.day, each.report.report_key) for each in rows}) == len(rows)


def test_the_month_ends_yesterday(rows, today):
    assert {each.report.day for each in rows} == {today - timedelta(days=days) for days in range(1, 32)}


def test_a_dozen_senders_report_and_all_are_labelled_demo(rows):
    organizations = {each.report.organization for each in rows}
    assert organizations == {sender.organization for sender in SENDERS}
    assert len(organizations) == 12
    assert all(organization.endswith("(demo)") for organization in organizations)


def test_certificate_of_shop_was_expired_for_two_days(failures):
    assert days_of(failures, "shop.example", "certificate-expired") == {8, 9}
    assert {key[3] for key in failures if key[1] == "certificate-expired"} == {"mx2.shop.example"}
    assert len({key[4] for key in failures if key[1] == "certificate-expired"}) > 5, "everybody sees it"


def test_one_sender_of_bank_sees_no_starttls_while_others_succeed(rows, failures, today):
    assert days_of(failures, "bank.example", "starttls-not-supported") == {1, 2, 3}
    assert {key[4] for key in failures if key[1] == "starttls-not-supported"} == {"Harbor Telecom (demo)"}
    networks = {
        row.sending_mta_ip[:15] for each in rows for row in each.failures if row.result_type == "starttls-not-supported"
    }
    assert len(networks) == 1
    yesterday = Counter()
    for each in rows:
        for row in each.policies:
            if row.policy_domain == "bank.example" and row.day == today - timedelta(days=1):
                yesterday[row.organization] += row.successful_sessions
    assert len(+yesterday) >= 8, "the others succeed, and Harbor from its other network"
    assert yesterday["Harbor Telecom (demo)"] > 0


def test_policy_of_news_could_not_be_fetched_for_four_days(failures):
    assert days_of(failures, "news.example", "sts-policy-fetch-error") == {11, 12, 13, 14}


def test_second_mx_of_clinic_is_slower_every_day(rows, today):
    timeouts = Counter()
    for each in rows:
        for row in each.failures:
            if row.category == "timeout" and row.receiving_mx == "mx2.clinic.example":
                timeouts[(today - row.day).days] += row.failed_sessions
    assert set(timeouts) == set(range(1, 11))
    assert timeouts[1] > 2 * timeouts[8]


def test_travel_fixed_its_certificate_in_testing_before_it_enforced(rows, failures, today):
    assert days_of(failures, "travel.example", "certificate-host-mismatch") == set(range(18, 32))
    modes = {}
    for each in rows:
        for row in each.policies:
            if row.policy_domain == "travel.example" and row.sts_mode:
                modes.setdefault((today - row.day).days, set()).add(row.sts_mode)
    assert all(modes[days] == {"enforce" if days <= 7 else "testing"} for days in range(1, 32))


def test_one_sender_of_travel_stopped_applying_the_policy_but_not_elsewhere(rows, today):
    applied = {}
    for each in rows:
        for row in each.policies:
            if row.organization == "Meridian Airlines (demo)" and row.day >= today - timedelta(days=7):
                applied.setdefault(row.policy_domain, {})[(today - row.day).days] = row.sts_mode
    assert applied["travel.example"] == {days: "enforce" if days > 3 else "" for days in range(1, 8)}
    assert set(applied["shop.example"].values()) == {"enforce"}


def test_new_key_of_univ_does_not_match_its_tlsa_record(rows, failures):
    assert days_of(failures, "univ.example", "tlsa-invalid") == {4, 5}
    tlsa = [row for each in rows for row in each.policies if row.policy_type == "tlsa"]
    assert {row.policy_domain for row in tlsa} == {"univ.example"}
    assert {row.reported_policy_domain for row in tlsa} == {"mx1.univ.example", "mx2.univ.example"}


def test_library_has_no_failure_and_is_in_testing(rows, failures):
    assert [key for key in failures if key[0] == "library.example"] == []
    modes = {row.sts_mode for each in rows for row in each.policies if row.policy_domain == "library.example"}
    assert "testing" in modes
    assert "enforce" not in modes


def test_weekends_of_bank_are_quiet(rows):
    by_weekday = Counter()
    for each in rows:
        for row in each.policies:
            if row.policy_domain == "bank.example" and row.counts:
                by_weekday[row.day.weekday() >= 5] += row.successful_sessions
    assert by_weekday[True] < by_weekday[False] / 5


def test_odd_mails_meet_their_fate(judge, demo_keys, today, rows):
    mails = list(odd_mails(today, demo_keys))
    verdicts = judge_all(judge, mails)
    known = {each.report.report_key for each in rows}
    for mail, verdict in zip(mails, verdicts, strict=True):
        match mail.fate:
            case Fate.QUARANTINED:
                assert isinstance(verdict, Quarantined), mail.note
            case Fate.REJECTED:
                assert isinstance(verdict, Rejected), mail.note
                assert verdict.fault.reason != "internal"
            case Fate.DUPLICATE:
                assert isinstance(verdict, Accepted), mail.note
                assert verdict.reports[0].report.report_key in known
    assert {verdict.fault.reason for verdict in verdicts if isinstance(verdict, Rejected)} == {
        "bad-compression",
        "foreign-domain",
        "invalid-field",
        "no-report",
    }
