"""DMARC reports all the way: from the spool into the real engine, and out of the views with the reports' own totals."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest
from dmarc_samples import METADATA, POLICY, evaluated, feedback, record, row
from engine import DOMAIN, engine, storage
from ingesting import arrived, ingest, report

from reports.envelope import Source, Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Storage
    from ingesting import Ingest

__all__ = ["engine", "ingest", "storage"]

OURS = POLICY.replace("example.com", DOMAIN)
TOTALS = """
SELECT sum(messages), sum(passed_messages), sum(spf_aligned_messages), sum(dkim_aligned_messages),
    sum(quarantined_messages), sum(rejected_messages)
FROM dmarc_daily
"""


def give(ingest: Ingest, *contents: bytes) -> None:
    """As an operator imports them."""
    for content in contents:
        ingest.spool.put(arrived(Source.FILE, by_operator=True), content)
    ingest.drain()


def made_up(number: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Records with what they add to the totals: messages, passed, SPF, DKIM, quarantined, rejected."""
    chance = random.Random(number)
    for _ in range(chance.randrange(8)):
        dkim, spf = chance.choice(("pass", "fail", "none")), chance.choice(("pass", "fail", "softfail"))
        disposition, count = chance.choice(("none", "quarantine", "reject", "pass")), chance.randrange(1000)
        verdicts = (
            *(True, "pass" in (dkim, spf), spf == "pass", dkim == "pass"),
            *(disposition == "quarantine", disposition == "reject"),
        )
        said = evaluated(dkim=dkim, spf=spf, disposition=disposition)
        yield record(row(evaluated=said, count=str(count))), tuple(count * verdict for verdict in verdicts)


def test_views_sum_to_the_totals_of_the_reports(ingest: Ingest, storage: Storage) -> None:
    contents, wanted = [], [0] * 6
    for number in range(30):
        records = list(made_up(number))
        metadata = METADATA.replace("id-1", f"id-{number}")
        contents.append(feedback(*(text for text, _ in records), " ", metadata=metadata, policy=OURS))
        for _, adds in records:
            wanted = [before + more for before, more in zip(wanted, adds, strict=True)]
    give(ingest, *contents)
    assert storage.ask(TOTALS) == [tuple(wanted)]
    assert storage.ask("SELECT count(), sum(messages) FROM dmarc_report_log") == [(30, wanted[0])]
    assert storage.ask("SELECT sum(messages), sumIf(messages, passed) FROM dmarc_record_details") == [tuple(wanted[:2])]


def test_the_same_report_again_counts_once_and_another_period_does_not(ingest: Ingest, storage: Storage) -> None:
    usual = feedback(policy=OURS)
    give(ingest, usual, gzip.compress(usual), usual)
    give(ingest, usual)
    assert storage.ask("SELECT count() FROM dmarc_report_log") == [(1,)]
    give(ingest, feedback(policy=OURS, metadata=METADATA.replace("1772409600", "1772323200")))
    assert storage.ask("SELECT count(), sum(messages) FROM dmarc_report_log") == [(2, 6)]


def test_both_kinds_of_reports_pass_through_one_batch(ingest: Ingest, storage: Storage) -> None:
    give(ingest, report(failed=4), feedback(policy=OURS), report(2))
    assert storage.ask("SELECT sum(failed_sessions) FROM tls_domain_daily") == [(4,)]
    assert storage.ask("SELECT sum(messages) FROM dmarc_daily") == [(3,)]
    assert storage.ask("SELECT groupUniqArray(trust) FROM dmarc_record_details") == [([Trust.OPERATOR.value],)]


@pytest.mark.parametrize("role", ["analyst", "grafana"])
def test_readers_see_the_views(storage: Storage, role: str) -> None:
    for view in ("dmarc_daily", "dmarc_record_details", "dmarc_report_log", "dmarc_report_originals"):
        assert storage.ask(f"SELECT count() FROM {view}", role) == [(0,)]


def test_original_is_kept_as_received(ingest: Ingest, storage: Storage) -> None:
    content = feedback(policy=OURS)
    give(ingest, gzip.compress(content))
    assert storage.ask("SELECT original FROM dmarc_report_originals") == [(content.decode(),)]
