"""A mailbox that is not ours alone, on a real Dovecot: what holds no report is left as it was."""

from __future__ import annotations

import gzip
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from sources_mail.reading import (
    Clock,
    RecordingSpool,
    dmarc_report,
    events,
    news_feed,
    private_mail,
    report,
    report_mail,
)
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.sources.mailbox.loop import MailboxLoop

pytestmark = pytest.mark.slow
PROCESSED = "mailposture.processed"  # Dovecot's separator on a maildir
HOUR = 3600.0


def flags(dovecot: Any, folder: str = "INBOX") -> list[tuple[bytes, ...]]:
    with dovecot.client() as client:
        client.select_folder(folder, readonly=True)
        return [answer[b"FLAGS"] for answer in client.fetch(client.search(), ["FLAGS"]).values()]


def test_only_reports_are_stored_and_moved(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    others = [private_mail(1), news_feed(), private_mail(2)]
    reports = [report_mail(1), dmarc_report(), report_mail(2)]
    dovecot.deliver(others[0], reports[0], others[1], *reports[1:], others[2])
    with capture_logs() as said:
        read(dovecot)
        eventually("that it is said", lambda: events(said, "without a report"))
    assert spool.bodies == reports
    assert sorted(dovecot.bodies(PROCESSED)) == sorted(reports)
    assert dovecot.bodies("INBOX") == others
    assert [set(each) - {b"\\Recent"} for each in flags(dovecot)] == [set()] * 3  # not even seen
    (line,) = events(said, "without a report")
    assert line["mails"] == 3
    assert not [each for each in said if each["log_level"] in ("warning", "error")]


def test_mail_that_stays_is_not_read_again_by_the_next_session(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(private_mail(1), report_mail(1))
    first = read(dovecot)
    eventually("the report", lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])
    first.stop()
    dovecot.deliver(private_mail(2), report_mail(2))
    with capture_logs() as said:
        read(dovecot)
        eventually("the next report", lambda: len(dovecot.bodies(PROCESSED)) == 2)
        eventually("that it is said", lambda: events(said, "without a report"))
    (line,) = events(said, "without a report")
    assert line["mails"] == 1


def test_a_mailbox_that_can_only_be_read_is_read_once(
    limited_dovecot: Callable[..., Any], spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    mails = [report_mail(number) for number in range(150)]
    server = limited_dovecot(*mails, rights="lr")
    with capture_logs() as said:
        first = read(server)
        eventually("all", lambda: len(spool.got) == 150)
        first.stop()
        server.drop(report_mail(150))
        read(server)
        eventually("the new one", lambda: len(spool.got) == 151)
    assert spool.bodies == [*mails, report_mail(150)]
    assert server.bodies("INBOX") == spool.bodies
    assert not [each for each in said if each["log_level"] in ("warning", "error")]


def test_reports_go_to_a_folder_per_kind_if_wished(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(report_mail(1), private_mail(1), dmarc_report(), report_mail(2))
    read(dovecot, processed="reports/{kind}")
    eventually("one kind", lambda: dovecot.bodies("reports.tls") == [report_mail(1), report_mail(2)])
    eventually("the other", lambda: dovecot.bodies("reports.dmarc") == [dmarc_report()])
    assert dovecot.bodies("INBOX") == [private_mail(1)]


def test_reports_stay_if_wished_and_are_read_once(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    mails = [report_mail(1), private_mail(1), dmarc_report()]
    dovecot.deliver(*mails)
    first = read(dovecot, processed=None)
    eventually("both reports", lambda: len(spool.got) == 2)
    first.stop()
    dovecot.deliver(report_mail(2))
    read(dovecot, processed=None)
    eventually("the new one", lambda: len(spool.got) == 3)
    assert spool.bodies == [report_mail(1), dmarc_report(), report_mail(2)]
    assert dovecot.bodies("INBOX") == [*mails, report_mail(2)]
    assert [set(each) - {b"\\Recent"} for each in flags(dovecot)] == [set()] * 4  # not even seen
    with dovecot.client() as client:
        assert [name for _, _, name in client.list_folders()] == ["INBOX"]


def test_a_mailbox_without_the_right_to_expunge_is_read_to_its_end_and_moved_once_it_may_be(
    limited_dovecot: Callable[..., Any], spool: RecordingSpool, read: Callable[..., MailboxLoop], clock: Clock
) -> None:
    mails = [report_mail(number) for number in range(150)]
    server = limited_dovecot(*mails, rights="lrswipk")
    with capture_logs() as said:
        first = read(server)
        eventually("all", lambda: len(spool.got) == 150)
        eventually("that it is said", lambda: events(said, "cannot be moved"))
        first.stop()
        assert server.bodies("INBOX") == mails
        server.allow("lrswipkxte")
        read(server)
        eventually("all moved", lambda: server.bodies("INBOX") == [])
    assert sorted(server.bodies(PROCESSED)) == sorted(mails)
    assert spool.bodies == mails
    assert len(events(said, "cannot be moved")) == 1


def test_a_mailbox_over_quota_is_read_to_its_end(
    limited_dovecot: Callable[..., Any], spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    """An old server, which copies and then deletes."""
    mails = [report_mail(number, more=b"x" * 1000 + b"\r\n") for number in range(110)]
    server = limited_dovecot(*mails, quota="200K", more="protocol imap {\n  imap_capability = IMAP4rev1 SASL-IR\n}")
    with capture_logs() as said:
        read(server, processed=PROCESSED)
        eventually("all", lambda: len(spool.got) == 110)
        eventually("that it is said", lambda: events(said, "cannot be moved"))
    assert spool.bodies == mails
    assert set(server.bodies("INBOX")) <= set(mails)
    assert {*server.bodies("INBOX"), *server.bodies(PROCESSED)} == set(mails)


def test_reports_that_somebody_puts_back_are_read_again(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(report_mail(1))
    read(dovecot)
    eventually("it", lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])
    with dovecot.client() as client:
        client.select_folder(PROCESSED)
        client.move(client.search(), "INBOX")
    eventually("it again", lambda: spool.bodies == [report_mail(1)] * 2)


@pytest.mark.parametrize("damage", ["in its name only", "truncated"])
def test_a_broken_report_is_one(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop], damage: str
) -> None:
    """What is labelled as a report is not left in silence: ingest rejects it, and says why."""
    content = b"nothing" if damage == "in its name only" else gzip.compress(report(1))[:-9]
    mail = EmailMessage()
    mail.add_attachment(content, maintype="application", subtype="tlsrpt+gzip", filename="a.json.gz")
    dovecot.deliver(mail.as_bytes().replace(b"\n", b"\r\n"))
    read(dovecot)
    eventually("it", lambda: len(spool.got) == 1 and dovecot.bodies("INBOX") == [])


def test_what_is_remembered_may_be_lost_or_damaged(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop], tmp_path: Path
) -> None:
    dovecot.deliver(private_mail(1), report_mail(1))
    first = read(dovecot)
    eventually("the report", lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])
    first.stop()
    (remembered,) = (tmp_path / "mailboxes").iterdir()
    for damaged in (
        b"",
        b"{}",
        b"[1]",
        b'{"kinds": ["tls"], "epoch": 1, "position": null, "unmoved": 1, "unread": {}}',
    ):
        remembered.write_bytes(damaged)
        number = len(spool.got) + 1
        dovecot.deliver(report_mail(number))
        again = read(dovecot)
        eventually("the next", lambda number=number: len(dovecot.bodies(PROCESSED)) == number)
        again.stop()
    assert len(spool.got) == 5
    assert dovecot.bodies("INBOX") == [private_mail(1)]
