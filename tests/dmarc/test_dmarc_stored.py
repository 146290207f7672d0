"""DMARC reports all the way: from the spool into the real engine, and out of the views with the reports' own totals."""

from __future__ import annotations

import gzip
import random
from datetime import date
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from dmarc_samples import METADATA, POLICY, evaluated, feedback, record, row
from engine import DOMAIN
from ingesting import arrived, ingest, report

from collector.reprocessing import Reprocessor
from collector.spool.held import HeldState
from reports.envelope import Source, Trust

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Storage
    from ingesting import Ingest

__all__ = ["ingest"]

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


def test_a_report_that_is_posted_waits_for_somebody_to_release_it(ingest: Ingest, storage: Storage) -> None:
    """Its path stands in a public record, and what the XML says of its author proves nothing."""
    ingest.spool.put(arrived(Source.HTTPS), feedback(policy=OURS))
    ingest.drain()
    assert storage.ask("SELECT count() FROM dmarc_report_log") == [(0,)]
    (held,) = ingest.held.list(HeldState.QUARANTINED)
    assert held.reason == "not-by-mail"


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


WORDS = (
    "=cmd|' /C calc'!A0 '; DROP TABLE x -- <script>alert(1)</script>"
    ' ${x} \u202e\u200b\ue000 \\ " \x85 \u2028 {a:String}'
)
NAMES = (
    "faß.example",
    "xn--fa-hia.example",
    "a b.example",
    "a';--.example",
    "*.example",
    "." * 9,
    "a" * 300,
    "\u202eexample",
)


def test_hostile_text_is_stored_as_one_line_that_shows_what_it_is(ingest: Ingest, storage: Storage) -> None:
    """In every text that a report has; and what is no name of a domain is none in a column of names."""
    words = escape(WORDS)
    metadata = (
        METADATA.replace("Receiver Example", words).replace("id-1", words).replace("</email>", f"{words}</email>")
    )
    metadata = metadata.replace("<date_range>", f"<error>{words}</error><generator>{words}</generator><date_range>")
    reason = f"<reason><type>{words}</type><comment>{words}</comment></reason>"
    said = evaluated(reason=reason, dkim=words, disposition=words)
    records = [
        record(
            row(evaluated=said, source_ip=words, count="3"),
            f"<identifiers><header_from>{escape(name)}</header_from><envelope_to>{escape(name)}</envelope_to></identifiers>",
            f"<auth_results><dkim><domain>{escape(name)}</domain><selector>{words}</selector><result>{words}</result>"
            f"<human_result>{words}</human_result></dkim></auth_results>",
        )
        for name in NAMES
    ]
    policy = OURS.replace("<p>none", f"<p>{words}").replace(
        "</pct>", f"</pct><fo>{words}</fo><testing>{words}</testing>"
    )
    give(ingest, feedback(*records, metadata=metadata, policy=policy))
    assert storage.ask("SELECT sum(messages), sum(passed_messages) FROM dmarc_daily") == [(3 * len(NAMES), 0)]
    texts = [
        text
        for view in ("dmarc_record_details", "dmarc_report_log", "dmarc_daily")
        for stored in storage.ask(f"SELECT * FROM {view}")
        for value in stored
        for text in (value if isinstance(value, list) else [value])
        if isinstance(text, str)
    ]
    assert any("<script>" in text for text in texts)
    assert [text for text in texts if not text.isprintable()] == []
    assert storage.ask("SELECT DISTINCT header_from FROM dmarc_record_details ORDER BY 1") == [
        ("",),
        ("xn--fa-hia.example",),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_an_original_in_any_encoding_is_kept_and_can_be_read_again(
    ingest: Ingest, storage: Storage, encoding: str
) -> None:
    metadata = METADATA.replace("Receiver", "Empfänger")
    content = feedback(policy=OURS, metadata=metadata, declared=f' encoding="{encoding}"').decode().encode(encoding)
    give(ingest, content)
    assert storage.ask("SELECT organization FROM dmarc_report_log") == [("Empfänger Example",)]
    assert storage.ask("SELECT hex(original) FROM dmarc_report_originals") == [(content.hex().upper(),)]
    reprocessor = Reprocessor(client=storage.client(), database=storage.config.clickhouse.tables_database)
    accounts = list(reprocessor.run([date(2026, 3, 2)]))
    assert [(account.reports, account.unreadable) for account in accounts if account.reports] == [(1, 0)]
    assert storage.ask("SELECT organization, messages FROM dmarc_report_log") == [("Empfänger Example", 3)]
