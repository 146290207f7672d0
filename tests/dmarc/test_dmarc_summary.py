"""What `mailposture summary` says about mail from our domains, from the real views."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clock import NOW
from engine import DOMAIN, TODAY, days_ago

from cli.summary import as_text, dmarc_as_text
from reports.dmarc.summary import Source, summarize
from reports.tls.summary import summarize as summarize_tls

if TYPE_CHECKING:
    from engine import Storage


FAILED = {"passed": False, "dkim_aligned": False}


def test_messages_are_counted_by_day_and_failing_sources_by_size(storage: Storage) -> None:
    storage.put("dmarc_reports", {}, {"report_key": 2, "p": "quarantine", "period_end": NOW})
    storage.put(
        "dmarc_records",
        {"messages": 90, "spf_aligned": True},
        {"record_index": 1, "messages": 6, "spf_aligned": False, **FAILED},
        {"record_index": 2, "messages": 4, "source_ip": "2001:db8::7", "spf_aligned": False, **FAILED},
        {"report_key": 3, "day": days_ago(31), "messages": 10},
        {"report_key": 4, "day": TODAY, "messages": 1000},
    )
    (summary,) = summarize(storage.client("analyst"), days=30).values()
    assert (summary.messages, summary.passed_messages, summary.rejected_messages) == (100, 90, 0)
    assert (summary.own_messages, summary.unknown_messages, summary.unknown_delivered) == (96, 4, 4)
    assert (summary.pass_rate, summary.trend) == (90 / 96, 90 / 96 - 1)
    assert summary.policy == "quarantine"
    assert summary.last_report_day == days_ago(1)
    assert summary.failing == (Source("192.0.2.0/24", "not-authenticated", 6),)
    assert summary.unknown == (Source("2001:db8::/48", "not-authenticated", 4),)
    text = dmarc_as_text({DOMAIN: summary}, days=30).plain
    assert "93.75 %" in text
    assert "-6.25  quarantine" in text
    assert "failing  192.0.2.0/24 6 (not-authenticated)" in text
    assert "unknown  4, perhaps forged: 0 quarantined or rejected, 4 delivered\n             2001:db8::/48 4" in text


@pytest.mark.slow
def test_blocked_forgeries_are_no_failure(storage: Storage) -> None:
    forged = {"source_ip": "::ffff:203.0.113.9", "disposition": "reject", "spf_aligned": False, **FAILED}
    storage.put("dmarc_records", {"messages": 3, "spf_aligned": True}, {"record_index": 1, "messages": 90, **forged})
    (summary,) = summarize(storage.client("analyst"), days=30).values()
    assert (summary.pass_rate, summary.failing) == (1.0, ())
    text = dmarc_as_text({DOMAIN: summary}, days=30).plain
    assert "100 %" in text
    assert "unknown  90, perhaps forged: 90 quarantined or rejected, 0 delivered" in text


@pytest.mark.slow
def test_forged_policy_is_not_shown_where_somebody_counts(storage: Storage) -> None:
    storage.put("dmarc_records", {"messages": 90, "spf_aligned": True})
    storage.put("dmarc_reports", {}, {"report_key": 2, "reporter": "forger.example", "p": "reject", "period_end": NOW})
    (summary,) = summarize(storage.client("analyst"), days=30).values()
    assert summary.policy == "none"


@pytest.mark.slow
def test_source_that_nobody_who_counts_saw_is_marked(storage: Storage) -> None:
    seen = {"source_ip": "::ffff:203.0.113.9", "spf_aligned": False, **FAILED}
    storage.put("dmarc_records", {"messages": 90, "spf_aligned": True}, {"record_index": 1, "messages": 6, **seen})
    forged = {**seen, "organization": "Forger", "report_key": 7, "messages": 90_000}
    storage.put(
        "dmarc_records", {**forged, "source_ip": "::ffff:198.51.100.9"}, {**forged, "record_index": 1}, known=False
    )
    (summary,) = summarize(storage.client("analyst"), days=30).values()
    assert [source.name for source in summary.unknown] == ["203.0.113.0/24", "198.51.100.0/24, not in alerts"]


@pytest.mark.slow
def test_causes_about_mail_from_us_stand_beside_it(storage: Storage) -> None:
    storage.put("dmarc_reports", {})
    failed = {"record_index": 1, "messages": 900, "spf_aligned": False, **FAILED}
    storage.put("dmarc_records", {"messages": 900, "spf_aligned": True}, failed)
    client = storage.client("analyst")
    summaries = summarize_tls(client, days=30, domain=DOMAIN)
    assert [needed.cause for needed in summaries[0].attention if needed.waits] == ["dmarc-own-failing"]
    to_us, from_us = as_text(summaries, summarize(client, days=30, domain=DOMAIN), days=30).plain.split("Mail from our")
    assert "Mail of ours fails DMARC" not in to_us
    assert "Mail of ours fails DMARC (192.0.2.0/24)" in from_us
    assert "Mail of ours fails DMARC" in as_text(summaries, days=30).plain, "without a place of its own"


def test_without_dmarc_reports_there_is_nothing_to_say(storage: Storage) -> None:
    assert summarize(storage.client("analyst"), days=30) == {}
