"""An IMAP server that is hostile or broken neither fills memory nor keeps us busy."""

from __future__ import annotations

import itertools
import time
import tracemalloc
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from sources_mail.odd_imap import OddImap
from sources_mail.reading import Clock, RecordingSpool, events, report_mail
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from collector.sources.mailbox.loop import MailboxLoop

MAILS = tuple(report_mail(number) for number in (1, 2, 3))
MEGABYTE = 1024 * 1024


@pytest.fixture
def odd() -> Iterator[OddImap]:
    with OddImap(*MAILS).serving() as server:
        yield server


def at(name: str, *said: bytes, for_ever: bool = False) -> Callable[[str], Iterable[bytes]]:
    """What a server says before it answers commands of that name."""
    return lambda command: (itertools.cycle(said) if for_ever else said) if name in command else ()


@pytest.fixture
def memory() -> Iterator[Callable[[], int]]:
    """The most bytes that were held at once."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


HOSTILE = {
    "a literal without end": (at("FETCH", b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", for_ever=True), "more than"),
    "a literal of a size that is no number": (
        at("FETCH", b"* 1 FETCH (BODY[] {%b}\r\n" % (b"9" * 5000)),
        "unexpected response",
    ),
    "lines without end": (at("SEARCH", b"* 1 FETCH (FLAGS ())\r\n" * 1000, for_ever=True), "lines at once"),
    "a line without end": (at("SEARCH", b"* SEARCH " + b"1 " * 100_000, for_ever=True), "a line of more than"),
    "folders without end": (at("LIST", b'* LIST () "/" a\r\n' * 1000, for_ever=True), "lines at once"),
    "challenges without end": (at("LOGIN", b"+ more\r\n" * 1000, for_ever=True), ""),
    "no greeting but noise": (at("CAPABILITY", b"* X\r\n" * 1000, for_ever=True), "lines at once"),
    "a capability that is a list": (at("CAPABILITY", b"* CAPABILITY {3}\r\nabc\r\n"), "tuple"),
    "a status that is a list": (at("SELECT", b"* OK {3}\r\nabc\r\n"), "tuple"),
    "what is no answer": (at("SEARCH", b"\x1b[2J" * 100_000 + b"\r\n"), "unexpected response"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", HOSTILE)
def test_what_cannot_be_taken_ends_the_session(odd: OddImap, read: Callable[..., MailboxLoop], how: str) -> None:
    odd.before_answer, words = HOSTILE[how]
    with capture_logs() as said:
        loop = read(odd)
        eventually("an end", lambda: [*events(said, "cannot read a mailbox"), *events(said, "cannot be moved")])
    reason = next(each["reason"] for each in said if "reason" in each)
    assert words in reason
    assert len(reason) < 400
    assert reason.isprintable()
    assert not events(said, "failed; trying again")
    loop.stop()


@pytest.mark.slow
def test_a_mail_larger_than_announced_is_left_and_the_others_are_taken(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, memory: Callable[[], int]
) -> None:
    large = 300 * MEGABYTE
    odd.size = lambda _uid: "RFC822.SIZE 2000"
    odd.body = lambda uid: odd.literal(uid) if uid != 2 else b"BODY[] {%d}\r\n%b" % (large, b"x" * MEGABYTE)
    with capture_logs() as said:
        read(odd)
        eventually("the others", lambda: set(odd.processed) == {1, 3})
        eventually("that it is named", lambda: events(said, "a mail cannot be read"))
    assert spool.bodies == [MAILS[0], MAILS[2]]
    assert "sends more than it was asked for" in events(said, "cannot read a mailbox")[0]["reason"]
    assert memory() < 100 * MEGABYTE


@pytest.mark.parametrize("command", ["CAPABILITY", "LOGIN", "SELECT", "SEARCH", "FETCH", "MOVE"])
def test_an_answer_that_trickles_has_an_end(odd: OddImap, read: Callable[..., MailboxLoop], command: str) -> None:
    answers = Clock()
    dripped = []

    def drip(asked: str) -> Iterator[bytes]:
        while command in asked:
            dripped.append(asked)
            yield b"*"
            time.sleep(0.01)

    odd.before_answer = drip
    with capture_logs() as said:
        read(odd, answers=answers)
        eventually("it trickles", lambda: len(dripped) > 3)
        answers.turn(601)
        eventually("an end", lambda: events(said, "cannot read a mailbox"))
    assert "has not ended its answer within 600 seconds" in events(said, "cannot read a mailbox")[0]["reason"]


@pytest.mark.slow
def test_what_is_said_unasked_does_not_pile_up(odd: OddImap, read: Callable[..., MailboxLoop]) -> None:
    noise = b"* NOISE %b\r\n" % (b"x" * MEGABYTE)
    answers: list[str] = []
    odd.before_answer = lambda command: answers.append(command) or [noise] if command.startswith("UID") else ()
    tracemalloc.start()
    try:
        read(odd, poll=timedelta(seconds=1))
        eventually("many answers", lambda: len(answers) > 6)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * MEGABYTE


@pytest.mark.parametrize("uids", ["4294967296", "9" * 40, "0 00 1 1 1 2"])
def test_uids_that_cannot_be_lose_nothing(
    odd: OddImap, read: Callable[..., MailboxLoop], spool: RecordingSpool, uids: str
) -> None:
    odd.also_found = uids
    read(odd)
    eventually("all", lambda: set(odd.processed) == {1, 2, 3})
    with odd.lock:
        odd.mails[4] = report_mail(4)
    eventually("what comes later", lambda: 4 in odd.processed)
    assert spool.bodies == [*MAILS, report_mail(4)]
