"""The demo's DMARC stories: in its reports on every day of a leap year, and in the rows that the collector makes."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest
import yaml
from clock import NOW, ODD_DAYS

from collector.ingest.judge import Accepted, Judge
from collector.trust import DkimVerifier, KeyCache
from demo.config import config_text
from demo.dmarc.mails import dmarc_mails
from demo.dmarc.reports import dmarc_reports
from demo.dmarc.stories import DMARC_STORIES
from demo.domains import DOMAINS, PARKED
from demo.keys import public_records
from demo.month import DAYS
from demo.nameserver import Nameserver
from mailposture.config.model import Config
from reports.envelope import Envelope, Source, Trust

if TYPE_CHECKING:
    from reports.dmarc.rows import RecordRow

_LEAP_YEAR = 2028
_MONTH = set(range(1, DAYS + 1))
_MAILCHIMP = {"198.51.100.130", "198.51.100.131"}
_BRIEFING, _LIST, _FORGOTTEN = "198.51.100.21", "198.51.100.25", "203.0.113.240"
_PHISHERS = {"192.0.2.17", "192.0.2.66", "198.51.100.211", "2001:db8:bad::5"}


class Facts:
    """What the reports of a month say: messages by domain, source, verdict and disposition, and on which days."""

    def __init__(self, today: date) -> None:
        self.messages: Counter[tuple[str, str, bool, str]] = Counter()
        self.days: dict[tuple[str, str, bool], set[int]] = {}
        for report in dmarc_reports(today):
            for stream, messages in report.records:
                source = report.domain.name, stream.source_ip, stream.passes
                self.messages[*source, stream.disposition(report.applied(stream))] += messages
                self.days.setdefault(source, set()).add((today - report.day).days)

    def failed(self, domain: str, *sources: str) -> dict[str, int]:
        """Messages that failed DMARC by disposition."""
        found: Counter[str] = Counter()
        for (name, source, passes, disposition), messages in self.messages.items():
            if name == domain and not passes and (source in sources or not sources):
                found[disposition] += messages
        return dict(found)


def assert_all_stories_are_there(today: date) -> None:
    """As demo/dmarc/stories.py says."""
    facts = Facts(today)

    assert facts.failed("shop.example", *_MAILCHIMP) == facts.failed("shop.example") == {"none": 17_500}
    assert facts.days["shop.example", "198.51.100.130", False] == set(range(2, DAYS + 1, 4))

    assert facts.failed("bank.example", *_PHISHERS) == facts.failed("bank.example") == {"reject": 3_832}
    assert all(facts.days["bank.example", source, False] == {5, 6} for source in _PHISHERS)
    assert facts.days["bank.example", "198.51.100.20", True] == _MONTH

    assert facts.failed("news.example", _BRIEFING) == facts.failed("news.example") == {"quarantine": 4_225}
    assert facts.days["news.example", _BRIEFING, False] == set(range(1, 7))
    assert facts.days["news.example", _BRIEFING, True] == set(range(7, DAYS + 1))
    assert facts.days["news.example", "203.0.113.33", True] == _MONTH

    assert facts.failed("travel.example", *_PHISHERS) == facts.failed("travel.example") == {"none": 1_800}
    assert facts.days["travel.example", "192.0.2.17", False] == {1, 2}

    assert facts.failed("univ.example", _LIST) == facts.failed("univ.example") == {"none": 1_346}
    forwarded = [
        facts.messages["univ.example", source, True, "none"] for source in ("198.51.100.77", "2001:db8:77::25")
    ]
    assert sum(forwarded) == 1_111

    assert facts.failed("clinic.example", _FORGOTTEN) == facts.failed("clinic.example") == {"none": 2_371}
    assert facts.days["clinic.example", _FORGOTTEN, False] == _MONTH

    assert facts.failed("library.example") == {}
    assert facts.days["library.example", "203.0.113.97", True] == _MONTH
    assert facts.days["library.example", "198.51.100.91", True] == _MONTH

    assert facts.days["oldbank.example", "192.0.2.66", False] == _MONTH
    assert facts.failed("oldbank.example", "192.0.2.66", "198.51.100.211").keys() == {"reject"}
    assert facts.failed("oldbank.example", "192.0.2.17").keys() == {"none"}
    assert facts.days["oldbank.example", "192.0.2.17", False] == {1, 2, 3}


@pytest.mark.parametrize("today", ODD_DAYS, ids=str)
def test_the_stories_are_there_on_an_odd_day(today: date) -> None:
    assert_all_stories_are_there(today)


@pytest.mark.slow
@pytest.mark.parametrize("month", range(1, 13))
def test_the_stories_are_there_on_every_day_of_a_leap_year(month: int) -> None:
    today = date(_LEAP_YEAR, month, 1)
    while today.month == month:
        assert_all_stories_are_there(today)
        today += timedelta(days=1)


def test_every_domain_has_its_story() -> None:
    assert [story.domain for story in DMARC_STORIES] == [domain.name for domain in (*DOMAINS, *PARKED)]


@pytest.fixture(scope="module")
def accepted(demo_keys, today):
    """What the collector makes of the mails, which it authenticates by their signatures."""
    mails = list(dmarc_mails(today, demo_keys))
    with Nameserver(public_records(demo_keys)) as nameserver:
        config = Config.model_validate(yaml.safe_load(config_text(nameserver=nameserver.address)))
        keys = KeyCache(nameservers=config.authentication.nameservers)
        verdicts = Judge(config, verifier=DkimVerifier(keys=keys, patience=10)).judge(
            [
                (
                    Envelope(
                        source=Source.SMTP, received_at=NOW, mail_from=mail.mail_from, recipients=(mail.recipient,)
                    ),
                    mail.content,
                )
                for mail in mails
            ],
            now=NOW,
        )
        keys.close()
    assert [verdict for verdict in verdicts if not isinstance(verdict, Accepted)] == []
    return [rows for verdict in verdicts for rows in verdict.reports]


@pytest.fixture(scope="module")
def records(accepted) -> list[RecordRow]:
    return [row for rows in accepted for part in rows.parts for row in part]


def source_of(row: RecordRow) -> str:
    address = IPv6Address(row.source_ip)
    return str(address.ipv4_mapped or address)


def test_every_mail_is_authenticated_by_its_signature_and_read_without_warning(accepted):
    assert {rows.report.trust for rows in accepted} == {Trust.DKIM}
    assert {rows.report.reporter for rows in accepted} == {
        "northwind.example",
        "bluebird.example",
        "kestrel.example",
        "pocket.example",
    }
    assert {rows.report.warnings for rows in accepted} == {()}
    assert len({(rows.report.day, rows.report.report_key) for rows in accepted}) == len(accepted)


def test_rows_have_the_numbers_of_the_stories(records, today):
    found: Counter[tuple[str, str, bool, str]] = Counter()
    for row in records:
        found[row.policy_domain, source_of(row), row.passed, row.disposition] += row.messages
    assert found == Facts(today).messages


def test_policies_are_published_as_they_changed(accepted, today):
    policies = {}
    for rows in accepted:
        policies.setdefault(rows.report.published_domain, {})[(today - rows.report.day).days] = rows.report.p
    assert policies["univ.example"] == {days: "quarantine" if days <= 16 else "none" for days in _MONTH}
    assert set(policies["bank.example"].values()) == {"reject"}
    assert set(policies["library.example"].values()) == {"quarantine"}


def test_list_is_told_from_a_forgery_by_the_reason_that_reporters_give(records):
    reasons = {row.reasons for row in records if source_of(row) == _LIST}
    assert reasons == {("mailing_list",)}
    assert {source_of(row) for row in records if row.reasons} == {_LIST}


def test_subdomain_sends_under_its_own_name(records):
    assert {row.header_from for row in records if row.policy_domain == "univ.example"} == {
        "univ.example",
        "cs.univ.example",
    }
