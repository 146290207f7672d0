"""What the dashboards about mail from our domains say of the demo's stories (demo/dmarc/stories.py)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from asking import ask, panel_sql
from clock import NOW

if TYPE_CHECKING:
    from conftest import DemoStore

pytestmark = pytest.mark.slow

NOW_PANEL = panel_sql("dmarc-domain", "$domain now")
MONTH_OF_REPORTS = (NOW - timedelta(days=31), NOW)


def test_blocked_forgeries_are_no_failure(store: DemoStore) -> None:
    bank = {"domain": "bank.example"}
    assert ask(store, "dmarc-domain", NOW_PANEL, **bank) == [{"causes": 0}]
    assert ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Own mail passes, 7 days"), **bank) == [{"rate": 1.0}]
    blocked = ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Unknown blocked, 7 days"), **bank)
    assert blocked == [{"messages": 3832}]
    todo = ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Senders that fail, and what to do"), **bank)
    assert todo == []


def test_parked_domain_has_no_mail_of_its_own(store: DemoStore) -> None:
    bank = {"domain": "oldbank.example"}
    assert ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Own mail passes, 7 days"), **bank) == [{"rate": -1}]
    assert ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Own mail that passes DMARC, by day"), **bank) == []
    before_it_was_weak = (NOW - timedelta(days=31), NOW - timedelta(days=15))
    of_tls = ask(store, "domain", panel_sql("domain", "$domain now"), before_it_was_weak, **bank)
    assert of_tls == [{"number": 0}], "all good: no reports about TLS are expected"


def test_delivered_forgeries_stand_beside_own_mail_that_passes(store: DemoStore) -> None:
    travel = {"domain": "travel.example"}
    assert ask(store, "dmarc-domain", NOW_PANEL, **travel) == [{"causes": 1}]  # as its alert says
    delivered = ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Unknown delivered, 7 days"), **travel)
    assert delivered == [{"messages": 1800}]


def test_a_sender_of_ours_that_fails_is_named_with_what_to_do(store: DemoStore) -> None:
    news = {"domain": "news.example"}
    assert ask(store, "dmarc-domain", NOW_PANEL, **news) == [{"causes": 1}]
    (row,) = ask(store, "dmarc-domain", panel_sql("dmarc-domain", "Senders that fail, and what to do"), **news)
    assert (row["State"], row["Source"], row["Fails"]) == ("ours-failing", "Amazon SES", 4225)
    assert (row["Days"], row["Last day"]) == (6, NOW.date() - timedelta(days=1))
    assert "`dig +short TXT news2025._domainkey.news.example`" in str(row["What to do"])
    shown = {"source": [str(row["source_id"])], "domain": ["news.example"]}
    signatures = ask(store, "dmarc-source", panel_sql("dmarc-source", "Signatures (DKIM)"), **shown)
    broken = next(each for each in signatures if each["Result"] == "permerror")
    assert (broken["Signing domain"], broken["Selector"]) == ("news.example", "news2025")


def test_a_source_shows_its_own_mail_only(store: DemoStore) -> None:
    sources = ask(store, "dmarc-overview", panel_sql("dmarc-overview", "Who sends in our name"), MONTH_OF_REPORTS)
    newsletter = next(row for row in sources if row["Source"] == "Mailchimp")
    shown = {"source": [str(newsletter["source_id"])]}
    messages = ask(store, "dmarc-source", panel_sql("dmarc-source", "Messages"), MONTH_OF_REPORTS, **shown)
    assert messages == [{"fact": 17_500}] == [{"fact": newsletter["Messages"]}]
    addresses = ask(store, "dmarc-source", panel_sql("dmarc-source", "Addresses"), MONTH_OF_REPORTS, **shown)
    assert {row["Address"] for row in addresses} == {"198.51.100.130", "198.51.100.131"}
    (verdict,) = ask(store, "dmarc-source", panel_sql("dmarc-source", "Its mail, when last seen"), **shown)
    assert verdict == {"last_pile": "possibly-ours"}


def test_every_message_is_in_one_pile_of_the_graph(store: DemoStore) -> None:
    days = ask(store, "dmarc-overview", panel_sql("dmarc-overview", "Mail in our name, by pile"), MONTH_OF_REPORTS)
    shown = sum(value for row in days for name, value in row.items() if name != "time" and isinstance(value, int))
    (total,) = store.ask_as_grafana("SELECT sum(messages) AS messages FROM dmarc_daily")
    assert shown == total["messages"]


def test_which_domain_may_have_a_stricter_policy_is_what_readiness_says(store: DemoStore) -> None:
    title = "Domains: what fails, and may the policy be stricter?"
    rows = {row["Domain"]: row for row in ask(store, "dmarc-overview", panel_sql("dmarc-overview", title))}
    verdicts = {domain: (row["Policy"], row["Next step"], row["Verdict"]) for domain, row in rows.items()}
    assert verdicts == {
        "news.example": ("quarantine", "reject", "not-yet"),
        "shop.example": ("none", "quarantine", "not-yet"),
        "clinic.example": ("none", "quarantine", "not-yet"),
        "travel.example": ("none", "quarantine", "safe"),
        "bank.example": ("reject", "", "reached"),
        "univ.example": ("quarantine", "reject", "not-yet"),
        "library.example": ("quarantine", "reject", "safe"),
    }
    assert "Mailchimp" in str(rows["shop.example"]["Why"])
    assert "203.0.113.0/24" in str(rows["clinic.example"]["Why"])
    ready = ask(store, "dmarc-overview", panel_sql("dmarc-overview", "Ready for a stricter policy"))
    assert ready == [{"ready": "2 of 6 domains"}]
    waiting = ask(store, "dmarc-overview", panel_sql("dmarc-overview", "Unknown to decide about"))
    assert waiting == [{"sources": 2}]
