"""One refusal stops nothing: what a server cannot do with one mail is said once and tried again; the rest goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from sources_mail.odd_imap import HangUpError, OddImap
from sources_mail.reading import Clock, RecordingSpool, events, private_mail, report_mail
from structlog.testing import capture_logs

from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from collector.sources.mailbox.loop import MailboxLoop

pytestmark = pytest.mark.slow

MAILS = tuple(report_mail(number) for number in (1, 2, 3))
HOUR = 3600.0


@pytest.fixture
def odd() -> Iterator[OddImap]:
    with OddImap(*MAILS).serving() as server:
        yield server


def refusing_first(uid: int) -> str | None:
    return "[SERVERBUG] cannot do that with message 1" if uid == 1 else None


def hang_up_at_first(uid: int) -> str | None:
    if uid == 1:
        raise HangUpError
    return None


ODD_ANSWERS = {
    "NIL": b"BODY[] NIL",
    "no body": b"FLAGS (\\Seen)",
    "a number": b"BODY[] 123",
    "half a list": b"BODY[] (1 2",
}


@pytest.mark.parametrize("how", ["NO", "it hangs up", *ODD_ANSWERS])
def test_a_mail_that_cannot_be_read_is_named_and_left_and_the_others_are_taken(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, clock: Clock, how: str
) -> None:
    if how in ("NO", "it hangs up"):
        odd.before_fetch = refusing_first if how == "NO" else hang_up_at_first
    else:
        odd.body = lambda uid: odd.literal(uid) if uid != 1 else ODD_ANSWERS[how]
    with capture_logs() as said:
        read(odd)
        eventually("the others", lambda: set(odd.processed) == {2, 3})
        eventually("the first is given up for now", lambda: events(said, "cannot be read"))
        clock.turn(HOUR)
        tried = odd.downloads(1) + len(odd.commands)
        eventually("another try", lambda: odd.downloads(1) + len(odd.commands) > tried + 3)
    assert spool.bodies == [MAILS[1], MAILS[2]]
    (line,) = events(said, "cannot be read")
    assert line["mail"].endswith("UID 1")
    assert set(odd.mails) == {1}

    odd.before_fetch, odd.body = lambda _uid: None, odd.literal
    clock.turn(12 * HOUR)
    eventually("the first, once it can be read", lambda: odd.processed.get(1) == MAILS[0])
    assert spool.bodies == [MAILS[1], MAILS[2], MAILS[0]]


def test_a_mail_without_a_byte_is_no_report(odd: OddImap, read: Callable[..., MailboxLoop]) -> None:
    odd.body = lambda uid: odd.literal(uid) if uid != 1 else b'BODY[] ""'
    read(odd)
    eventually("the others", lambda: set(odd.processed) == {2, 3})
    assert set(odd.mails) == {1}


@pytest.mark.parametrize(
    "item",
    [
        lambda mail: b"RFC822 {%d}\r\n%b" % (len(mail), mail),
        lambda mail: b"FLAGS () BODY[] {%d}\r\n%b INTERNALDATE NIL" % (len(mail), mail),
        lambda mail: b'INTERNALDATE "yesterday" BODY[] {%d}\r\n%b' % (len(mail), mail),
    ],
)
def test_a_body_is_found_by_either_name_and_without_a_date(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, item: Callable[[bytes], bytes]
) -> None:
    odd.body = lambda uid: item(odd.mails[uid])
    read(odd)
    eventually("all", lambda: set(odd.processed) == {1, 2, 3})
    assert spool.bodies == list(MAILS)
    assert spool.got[0][0].delivered_at is None


@pytest.mark.parametrize("size", ["RFC822.SIZE NIL", "RFC822.SIZE many", "FLAGS ()", "RFC822.SIZE 3"])
def test_sizes_that_are_missing_or_wrong_lose_nothing(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, size: str
) -> None:
    odd.size = lambda _uid: size
    read(odd)
    eventually("all", lambda: set(odd.processed) == {1, 2, 3})
    assert spool.bodies == list(MAILS)


def test_a_server_that_refuses_idle_is_polled(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool
) -> None:
    odd.capabilities += " IDLE"  # and it answers OK where it should say that it waits
    with capture_logs() as said:
        read(odd)
        eventually("all", lambda: set(odd.processed) == {1, 2, 3})
        with odd.lock:
            odd.mails[4] = report_mail(4)
        eventually("what comes later", lambda: len(spool.got) == 4)
    assert [each["event"] for each in said] == ["reading a mailbox"]


def test_a_fault_of_ours_does_not_leave_a_report(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_body: bytes) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr("collector.sources.mailbox.loop.report_in", broken)
    read(odd)
    eventually("all", lambda: set(odd.processed) == {1, 2, 3})
    assert spool.bodies == list(MAILS)


def test_one_mail_that_cannot_be_moved_is_moved_later(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, clock: Clock
) -> None:
    odd.before_move = refusing_first
    with capture_logs() as said:
        read(odd)
        eventually("the others", lambda: set(odd.processed) == {2, 3})
        with odd.lock:
            odd.mails[4] = report_mail(4)
        eventually("what comes later", lambda: set(odd.processed) == {2, 3, 4})
        odd.before_move = lambda _uid: None
        clock.turn(HOUR)
        eventually("the first", lambda: set(odd.processed) == {1, 2, 3, 4})
        eventually("that it is said", lambda: events(said, "were moved out"))
    assert spool.bodies == [*MAILS, report_mail(4)]
    assert [odd.downloads(uid) for uid in (1, 2, 3, 4)] == [1, 1, 1, 1]
    (line,) = events(said, "cannot be moved")
    assert (line["mails"], "SERVERBUG" in line["reason"]) == (1, True)


def test_a_mailbox_that_refuses_all_moves_is_read_to_its_end(
    read: Callable[..., MailboxLoop], spool: RecordingSpool, clock: Clock
) -> None:
    mails = [report_mail(number) for number in range(1, 251)]
    with OddImap(*mails).serving() as odd, capture_logs() as said:
        odd.before_move = lambda _uid: "[OVERQUOTA] full"
        read(odd)
        eventually("all", lambda: len(spool.got) == 250)
        with odd.lock:
            tries = len([command for command in odd.commands if "MOVE" in command])
        assert tries <= 5
        odd.before_move = lambda _uid: None
        clock.turn(HOUR)
        eventually("all moved", lambda: len(odd.processed) == 250)
        assert len(events(said, "cannot be moved")) == 1
    assert spool.bodies == mails


def test_what_a_server_only_says_it_has_moved_is_said_once_and_moved_later(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, clock: Clock
) -> None:
    odd.moves = False
    with capture_logs() as said:
        read(odd)
        eventually("all", lambda: len(spool.got) == 3)
        for number in (4, 5):
            with odd.lock:
                odd.mails[number] = report_mail(number)
            clock.turn(HOUR)
            eventually("the next", lambda number=number: len(spool.got) == number)
        odd.moves = True
        clock.turn(12 * HOUR)
        eventually("all moved", lambda: set(odd.processed) == {1, 2, 3, 4, 5})
    (line,) = events(said, "cannot be moved")
    assert "still in the mailbox" in line["reason"]
    assert spool.bodies == [report_mail(number) for number in range(1, 6)]


def test_an_old_server_that_copies_and_deletes_nothing_is_not_asked_to_copy_again(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, clock: Clock
) -> None:
    odd.capabilities = "IMAP4rev1"
    with capture_logs() as said:
        read(odd)
        eventually("all", lambda: len(spool.got) == 3)
        for number in (4, 5):
            with odd.lock:
                odd.mails[number] = report_mail(number)
            clock.turn(12 * HOUR)
            eventually("the next", lambda number=number: len(spool.got) == number)
        eventually("its copy", lambda: any("COPY 5 " in command for command in odd.commands))
    copies = [command.split()[2] for command in odd.commands if command.startswith("UID COPY ")]
    assert ",".join(copies) == "1,2,3,4,5"
    assert len(events(said, "still in the mailbox")) == 1


def test_mail_without_a_report_is_not_downloaded_again_by_whoever_reads_next(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool
) -> None:
    for uid in (4, 5):
        odd.mails[uid] = private_mail(uid)
    first = read(odd)
    eventually("all", lambda: set(odd.processed) == {1, 2, 3} and odd.downloads(5) == 1)
    first.stop()
    read(odd)
    with odd.lock:
        odd.mails[6] = report_mail(6)
    eventually("the last", lambda: 6 in odd.processed)
    assert (odd.downloads(4), odd.downloads(5)) == (1, 1)
    assert set(odd.mails) == {4, 5}
    assert {envelope.source for envelope, _ in spool.got} == {Source.IMAP}


def test_with_another_uidvalidity_or_another_kind_of_report_everything_is_looked_at_again(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool
) -> None:
    odd.mails = {1: private_mail(1), 2: report_mail(2)}
    first = read(odd)
    eventually("the report", lambda: 2 in odd.processed)
    first.stop()
    second = read(odd, kinds=("dmarc", "tls"))
    eventually("the private mail again", lambda: odd.downloads(1) == 2)
    second.stop()
    odd.epoch = 8
    read(odd, kinds=("dmarc", "tls"))
    eventually("and again", lambda: odd.downloads(1) == 3)
    assert spool.bodies == [report_mail(2)]


def test_reports_that_the_spool_has_are_not_downloaded_again_after_a_session_that_was_lost(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool
) -> None:
    """The connection ends at the last mail of a group, twice; the first two are in the spool by then."""
    ends = iter([True, True])

    def hang_up_twice(uid: int) -> str | None:
        if uid == 3 and next(ends, False):
            raise HangUpError
        return None

    odd.before_fetch = hang_up_twice
    read(odd)
    eventually("all", lambda: set(odd.processed) == {1, 2, 3})
    assert sorted(spool.bodies) == list(MAILS)
