"""What `mailposture summary` says about mail from our domains, from the real views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clock import NOW
from engine import DOMAIN, TODAY, days_ago, engine, storage

from cli.summary import dmarc_as_text
from reports.dmarc.summary import FailingSource, summarize

if TYPE_CHECKING:
    from engine import Storage

__all__ = ["engine", "storage"]

FAILED = {"passed": False, "dkim_aligned": False}


def test_messages_are_counted_by_day_and_failing_sources_by_size(storage: Storage) -> None:
    storage.put("dmarc_reports", {}, {"report_key": 2, "p": "quarantine", "period_end": NOW})
    storage.put(
        "dmarc_records",
        {"messages": 90},
        {"record_index": 1, "messages": 6, "disposition": "reject", **FAILED},
        {"record_index": 2, "messages": 4, "source_ip": "2001:db8::7", "header_from": f"news.{DOMAIN}", **FAILED},
        {"report_key": 3, "day": days_ago(31), "messages": 10},
        {"report_key": 4, "day": TODAY, "messages": 1000},
    )
    (summary,) = summarize(storage.client("analyst"), days=30).values()
    assert (summary.messages, summary.passed_messages, summary.rejected_messages) == (100, 90, 6)
    assert (summary.pass_rate, summary.trend) == (0.9, -0.09999999999999998)
    assert summary.policy == "quarantine"
    assert summary.last_report_day == days_ago(1)
    assert summary.failing == (
        FailingSource("192.0.2.1", DOMAIN, 6),
        FailingSource("2001:db8::7", f"news.{DOMAIN}", 4),
    )
    text = dmarc_as_text({DOMAIN: summary}, days=30).plain
    assert "90.00 %" in text
    assert "-10.00  quarantine" in text
    assert "failing  192.0.2.1 6 · 2001:db8::7 4" in text


def test_without_dmarc_reports_there_is_nothing_to_say(storage: Storage) -> None:
    assert summarize(storage.client("analyst"), days=30) == {}
