"""The journey from the spool to ClickHouse: nothing is lost, nothing counts twice, nothing blocks the rest."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from itertools import pairwise

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from ingesting import arrived, report

from collector.ingest.judge import Accepted
from collector.ingest.pipeline import wait_for_dns
from collector.ingest.suspects import Suspects
from collector.ingest.writer import RowsRefusedError
from collector.spool import HeldState, SpoolQueue
from collector.spool.queue import LONGEST_WAIT
from mailposture.config.model import Authentication, Spool
from reports.envelope import Source


def mail(document: bytes, **headers: str) -> bytes:
    message = EmailMessage()
    message["From"] = "tls@sender.example"
    message["TLS-Report-Domain"] = "example.com"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("A TLS report.")
    message.add_attachment(document, maintype="application", subtype="tlsrpt+json", filename="report.json")
    return message.as_bytes()


def test_posted_report_is_stored_with_the_trust_of_its_token(ingest, storage):
    ingest.spool.put(arrived(), report(failed=2))
    ingest.drain()
    assert storage.ask("SELECT trust, source, failed_sessions FROM mailposture_tables.tls_reports FINAL") == [
        ("token", "https", 2)
    ]
    assert storage.ask("SELECT category, failed_sessions FROM tls_failures_daily") == [("certificate", 2)]
    assert ingest.queue.stats().depth == 0


def test_same_report_by_mail_and_https_counts_once_with_the_better_trust(ingest, storage):
    ingest.spool.put(arrived(), report())
    ingest.spool.put(arrived(Source.SMTP, by_operator=True), mail(report()))
    ingest.spool.put(arrived(), report())
    ingest.drain()
    assert storage.ask("SELECT trust FROM mailposture_tables.tls_reports FINAL") == [("operator",)]
    assert storage.ask("SELECT successful_sessions FROM tls_domain_daily") == [(10,)]


def test_mail_for_the_postmaster_is_kept_with_a_reason_of_its_own(ingest, storage):
    mail = b"From: a@sender.example\r\nSubject: your server\r\n\r\nis odd\r\n"
    for recipients in (("postmaster@example.com",), ("Postmaster",), ("postmaster@example.com", "tlsrpt@example.com")):
        ingest.spool.put(arrived(Source.SMTP, recipients=recipients), mail)
    ingest.drain()
    assert storage.ask("SELECT reason, detail FROM rejections ORDER BY reason DESC, detail") == [
        ("postmaster", "mail to Postmaster, for a person to read: it holds no report"),
        ("postmaster", "mail to postmaster@example.com, for a person to read: it holds no report"),
        ("no-report", "it is not JSON, XML, gzip or zip that could be a report, nor a mail of these"),
    ]


def test_batch_over_several_months_is_stored_whole(ingest, storage):
    for number, day in enumerate(("2026-08-31", "2026-09-01", "2026-10-15", "2026-11-01")):
        ingest.spool.put(arrived(), report(number, day=day))
    ingest.drain()
    assert storage.ask("SELECT count() FROM tls_domain_daily") == [(4,)]


def test_unsigned_mail_is_quarantined_with_the_reason_and_released_by_hand(ingest, storage):
    ingest.spool.put(arrived(Source.SMTP), mail(report()))
    ingest.drain()
    (held,) = ingest.held.list(HeldState.QUARANTINED)
    assert held.reason == "no-signature"
    assert "no DKIM signature" in held.detail
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports") == [(0,)]
    ingest.held.release(held.id)
    ingest.drain()
    assert storage.ask("SELECT trust FROM mailposture_tables.tls_reports FINAL") == [("operator",)]
    assert ingest.held.list() == []


def test_signed_mail_waits_while_dns_does_not_answer(ingest, storage):
    signature = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=k; h=from; bh=AAAA; b=AAAA"
    ingest.spool.put(arrived(Source.SMTP), mail(report(), DKIM_Signature=signature))
    ingest.drain()
    stats = ingest.queue.stats()
    assert (stats.depth, stats.deferred) == (1, 1)
    assert ingest.held.list() == []
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports") == [(0,)]


def test_mail_whose_key_is_only_late_is_judged_again_soon_and_without_an_answer_each_hour():
    waits = [wait_for_dns(attempts) for attempts in range(100)]
    assert waits[0] <= Authentication().dns_timeout
    assert all(after == min(2 * before, LONGEST_WAIT) for before, after in pairwise(waits))
    assert waits[-1] == timedelta(hours=1)


def test_signed_mail_beyond_what_may_wait_for_dns_is_quarantined(ingest, storage):
    signature = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=k; h=from; bh=AAAA; b=AAAA"
    with closing(SpoolQueue(ingest.folder, rules=Spool(deferred_size=5_000))) as queue:
        pipeline = ingest.pipeline(queue=queue)
        for number in range(6):
            ingest.spool.put(arrived(Source.SMTP), mail(report(number), DKIM_Signature=signature))
        while judged := pipeline.take():
            pipeline.store(judged)
        stats = queue.stats()
    held = ingest.held.list(HeldState.QUARANTINED)
    assert {message.reason for message in held} == {"no-room-to-wait"}
    assert stats.deferred == stats.depth == 6 - len(held)
    assert 0 < stats.deferred_bytes <= 5_000


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x1f\x8b\x08truncated", "bad-compression"),
        (b"\x00\xff\x00binary noise", "no-report"),
        (b'{"hello": "world"}', "other-document"),
        (report(domain="foreign.example"), "foreign-domain"),
    ],
)
def test_unusable_bytes_are_rejected_with_a_reason_and_kept(ingest, storage, body, reason):
    ingest.spool.put(arrived(name="post 1"), body)
    ingest.spool.put(arrived(), report())
    ingest.drain()
    ((stored_reason, detail, name, held_id),) = storage.ask("SELECT reason, detail, name, held_id FROM rejections")
    assert (stored_reason, name) == (reason, "post 1")
    assert detail
    assert ingest.held.get(held_id)[1] == body
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports") == [
        (1,)
    ]  # the other report is not held up


def test_clickhouse_away_keeps_the_batch_and_tries_again(ingest, storage):
    ingest.spool.put(arrived(), report())
    write, failures = ingest.writer.write, iter([OperationalError("refused"), OSError("reset")])

    def failing(rows):
        for failure in failures:
            assert ingest.queue.stats().depth == 1
            raise failure
        write(rows)

    ingest.writer.write = failing
    ingest.drain()
    assert len(ingest.pauses) == 2
    assert ingest.pauses[1] > ingest.pauses[0]
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports") == [(1,)]
    assert ingest.heartbeat.database_answers


def test_stop_while_clickhouse_is_away_leaves_the_batch_in_the_spool(ingest, storage):
    ingest.spool.put(arrived(), report())
    ingest.writer.write = lambda _rows: (_ for _ in ()).throw(OperationalError("refused"))
    pipeline = ingest.pipeline(stopping=lambda: bool(ingest.pauses))
    pipeline.store(pipeline.take())
    assert ingest.queue.stats().depth == 1
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports") == [(0,)]


def test_killed_between_insert_and_forget_counts_once(ingest, storage, tmp_path):
    ingest.spool.put(arrived(), report())
    ingest.queue.forget = lambda _ids: None  # killed before the spool forgets
    ingest.drain()
    ingest.queue = SpoolQueue(tmp_path / "spool")  # the next start claims it again
    ingest.drain()
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports FINAL") == [(1,)]
    assert storage.ask("SELECT successful_sessions FROM tls_domain_daily") == [(10,)]
    assert ingest.queue.stats().depth == 0
    ingest.queue.close()


def test_message_whose_rows_clickhouse_refuses_does_not_block_the_others(ingest, storage):
    for number in range(5):
        ingest.spool.put(arrived(), report(number))
    write = ingest.writer.write

    def refusing(rows):
        rows = list(rows)
        if any(row.report.report_id == "3" for row in rows):
            raise RowsRefusedError("Cannot parse")
        write(rows)

    ingest.writer.write = refusing
    ingest.drain()
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports FINAL") == [(4,)]
    assert storage.ask("SELECT reason FROM rejections") == [("internal",)]
    (held,) = ingest.held.list(HeldState.REJECTED)
    assert ingest.held.get(held.id)[1] == report(3)


def test_report_about_others_is_left_out_beside_one_about_us(ingest, storage):
    message = EmailMessage()
    message["From"] = "tls@sender.example"
    message.set_content("Two TLS reports.")
    for document in (report(1, domain="foreign.example"), report(2)):
        message.add_attachment(document, maintype="application", subtype="tlsrpt+json")
    ingest.spool.put(arrived(Source.SMTP, by_operator=True), message.as_bytes())
    ingest.drain()
    ((report_id, warnings),) = storage.ask("SELECT report_id, warnings FROM mailposture_tables.tls_reports FINAL")
    assert report_id == "2"
    assert any("foreign.example" in warning for warning in warnings)


def test_fault_of_ours_costs_one_message_only(ingest, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr("collector.ingest.judge.decide_trust", broken)
    verdicts = ingest.judge.judge([(arrived(), report())], now=datetime.now(UTC))
    assert "ZeroDivisionError" in verdicts[0].fault.detail


def test_message_that_kills_ingest_each_time_is_set_aside_and_the_others_are_stored(ingest, storage, tmp_path):
    for number in range(4):
        ingest.spool.put(arrived(), report(number))
    judge = ingest.judge.judge

    def deadly(messages, *, now, seconds):
        if any(body == report(2) for _, body in messages):
            raise KeyboardInterrupt  # stands for a death that no handler sees
        return judge(messages, now=now, seconds=seconds)

    deaths = 0
    while True:
        ingest.judge = replace_judge(deadly)
        try:
            ingest.drain()
            break
        except KeyboardInterrupt:
            deaths += 1
            ingest.queue = SpoolQueue(tmp_path / "spool")
            ingest.suspects = Suspects(tmp_path / "run")
    assert deaths == 4  # once in a batch, three times alone
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports FINAL") == [(3,)]
    (held,) = ingest.held.list(HeldState.REJECTED)
    assert ingest.held.get(held.id)[1] == report(2)
    assert not Suspects(tmp_path / "run").are_there


def test_what_a_batch_held_when_ingest_was_killed_is_judged_one_by_one_and_stored_together(ingest, storage, tmp_path):
    """A thousand inserts of a row each took minutes on a busy machine."""
    for number in range(9):
        ingest.spool.put(arrived(), report(number))
    judge, together = ingest.judge.judge, []

    def killed(messages, *, now, seconds):
        raise KeyboardInterrupt

    def counted(messages, *, now, seconds):
        together.append(len(messages))
        return judge(messages, now=now, seconds=seconds)

    ingest.judge = replace_judge(killed)
    with pytest.raises(KeyboardInterrupt):
        ingest.pipeline().take()
    ingest.spool.put(arrived(), report(9))
    ingest.queue, ingest.suspects = SpoolQueue(tmp_path / "spool"), Suspects(tmp_path / "run")
    ingest.judge = replace_judge(counted)
    pipeline = ingest.pipeline()
    stored = []
    while judged := pipeline.take():
        pipeline.store(judged)
        stored.append(len(judged))
    assert together == [1] * 10
    assert stored == [10]
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports FINAL") == [(10,)]
    assert not Suspects(tmp_path / "run").are_there


def test_messages_that_unpack_to_much_are_stored_in_several_batches(ingest, storage, monkeypatch):
    monkeypatch.setattr("collector.ingest.judge._MOST_BYTES", 10_000)
    for number in range(9):
        ingest.spool.put(arrived(), report(number))
    pipeline = ingest.pipeline()
    sizes = []
    while judged := pipeline.take():
        pipeline.store(judged)
        sizes.append(len(judged))
    assert len(sizes) > 2
    assert storage.ask("SELECT count() FROM mailposture_tables.tls_reports FINAL") == [(9,)]


def test_column_values_that_arrow_cannot_hold_are_refused_alone(ingest, storage):
    """A row from a bug of ours (a count beyond 64 bits) must not stop the queue either."""
    ingest.spool.put(arrived(), report(1))
    ingest.spool.put(arrived(), report(2))
    judge = ingest.judge.judge

    def oversized(messages, *, now, seconds):
        first, *rest = judge(messages, now=now, seconds=seconds)
        rows = first.reports[0]
        broken = rows._replace(report=rows.report._replace(successful_sessions=2**70))
        return [Accepted((broken,)), *rest]

    ingest.judge = replace_judge(oversized)
    ingest.drain()
    assert storage.ask("SELECT report_id FROM mailposture_tables.tls_reports FINAL") == [("2",)]
    assert storage.ask("SELECT reason FROM rejections") == [("internal",)]


def replace_judge(judge):
    return type("Judge", (), {"judge": staticmethod(judge)})()


def test_envelope_of_a_mailbox_that_the_operator_trusts_needs_no_signature(ingest, storage):
    ingest.spool.put(replace(arrived(Source.IMAP), by_operator=True), mail(report()))
    ingest.drain()
    assert storage.ask("SELECT trust, source FROM mailposture_tables.tls_reports FINAL") == [("operator", "imap")]
