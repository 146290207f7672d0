"""The demo's DMARC reports as mails, and their reporters' habits."""

from __future__ import annotations

import email
import email.policy
from collections import defaultdict

import dkim
import pytest

from demo.dmarc.documents import xml
from demo.dmarc.mails import dmarc_mails, dmarc_report_mail
from demo.dmarc.reporters import REPORTERS, DmarcStyle
from demo.dmarc.reports import dmarc_reports
from demo.keys import public_records


@pytest.fixture(scope="module")
def by_style(today):
    """One document of each style about a domain with several DKIM results."""
    return {
        report.reporter.style: xml(report).decode()
        for report in dmarc_reports(today)
        if report.domain.name == "news.example"
    }


def test_the_month_is_the_same_for_the_same_day(today):
    assert list(dmarc_reports(today)) == list(dmarc_reports(today))


def test_every_reporter_reports_about_every_domain_and_the_month_stays_small(today):
    domains = defaultdict(set)
    for report in dmarc_reports(today):
        domains[report.reporter.sender.domain].add(report.domain.name)
        assert report.records
    assert {len(each) for each in domains.values()} == {8}
    assert len(domains) == len(REPORTERS)
    assert len(list(dmarc_reports(today))) < 400


@pytest.mark.parametrize("style", DmarcStyle)
def test_signatures_hold_for_dkimpy_and_are_aligned_with_the_author(style, today, demo_keys):
    """An independent implementation; the collector's own verifies every mail in the stories' tests."""
    records = {f"{name}.".encode(): text.encode() for name, text in public_records(demo_keys).items()}
    report = next(each for each in dmarc_reports(today) if each.reporter.style is style)
    mail = dmarc_report_mail(report, demo_keys[report.reporter.sender.domain])
    assert dkim.verify(mail, dnsfunc=lambda name, timeout=5: records.get(name))
    author = email.message_from_bytes(mail, policy=email.policy.default)["From"].addresses[0]
    assert author.addr_spec == report.reporter.contact
    assert author.domain.endswith(report.reporter.sender.domain)


@pytest.mark.slow
def test_mails_are_the_same_with_the_same_keys_and_without_defects(today, demo_keys):
    mails = list(dmarc_mails(today, demo_keys))
    assert mails == list(dmarc_mails(today, demo_keys))
    for mail in mails:
        parsed = email.message_from_bytes(mail.content, policy=email.policy.default)
        assert parsed.defects == []
        assert parsed["To"] == mail.recipient
        assert max(map(len, mail.content.split(b"\r\n"))) <= 998
        assert mail.content.isascii()


def test_envelope_from_is_what_google_and_yahoo_leave_out(by_style):
    without = {style for style, text in by_style.items() if "<envelope_from>" not in text}
    assert without == {DmarcStyle.GOOGLE, DmarcStyle.YAHOO}
    assert "<sp>" not in by_style[DmarcStyle.YAHOO]
    assert all("<sp>" in text for style, text in by_style.items() if style is not DmarcStyle.YAHOO)


def test_one_reporter_follows_rfc_9990_and_the_others_rfc_7489(by_style):
    new = by_style.pop(DmarcStyle.STALWART)
    for mark in (
        "urn:ietf:params:xml:ns:dmarc-2.0",
        "<testing>n<",
        "<discovery_method>treewalk<",
        ">pass</disposition>",
    ):
        assert mark in new
        assert not [style for style, text in by_style.items() if mark in text]
    assert "<pct>" not in new
    assert all("<pct>100<" in text for text in by_style.values())


def test_records_hold_several_dkim_results_and_the_first_may_be_of_another_domain(by_style):
    for text in by_style.values():
        briefing = next(record for record in text.split("<record>") if "198.51.100.21<" in record)
        assert briefing.count("<dkim>") == 3  # the verdict, and two results
        assert briefing.index("<domain>amazonses.com<") < briefing.index("<domain>news.example<")
