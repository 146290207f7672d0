"""The demo's mails as such."""

import email
import email.policy

import dkim
import pytest

from demo.keys import load_or_generate, public_records
from demo.senders import SENDERS, Style
from demo.tls.mails import mails
from demo.tls.reports import reports


def test_the_month_is_the_same_for_the_same_day(today):
    assert list(reports(today)) == list(reports(today))


@pytest.mark.slow
def test_mails_are_the_same_with_the_same_keys(today, demo_keys, demo_mails):
    assert list(mails(today, demo_keys)) == demo_mails


@pytest.mark.slow
def test_keys_are_made_once(tmp_path):
    first = public_records(load_or_generate(tmp_path))
    assert public_records(load_or_generate(tmp_path)) == first
    assert len(first) == len(SENDERS)
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("style", Style)
def test_signatures_hold_for_dkimpy(style, demo_keys, demo_mails):
    """An independent implementation; the collector's own verifies every mail in the stories' tests."""
    records = {f"{name}.".encode(): text.encode() for name, text in public_records(demo_keys).items()}
    domains = [sender.domain for sender in SENDERS if sender.style is style]
    for domain in domains:
        mail = next(each for each in demo_mails if each.mail_from.endswith(f"@{domain}"))
        assert dkim.verify(mail.content, dnsfunc=lambda name, timeout=5: records.get(name), tlsrpt=True)


def test_mails_are_multipart_reports_of_7_bit_lines(demo_mails):
    for mail in demo_mails[::50]:
        parsed = email.message_from_bytes(mail.content, policy=email.policy.default)
        assert parsed.get_content_type() == "multipart/report"
        assert parsed.get_param("report-type") == "tlsrpt"
        assert parsed.defects == []
        assert parsed["To"] == mail.recipient
        assert max(map(len, mail.content.split(b"\r\n"))) <= 998
        assert mail.content.isascii()


def test_reports_come_plain_and_compressed(demo_mails):
    kinds = {kind for mail in demo_mails for kind in (b"tlsrpt+gzip", b"tlsrpt+json") if kind in mail.content}
    assert kinds == {b"tlsrpt+gzip", b"tlsrpt+json"}


def test_some_reports_hold_several_policies(today):
    several = [report for report in reports(today) if len(report.policies) > 1]
    assert {report.sender.style for report in several} >= {Style.MICROSOFT, Style.REPORTER, Style.MOX, Style.STALWART}
