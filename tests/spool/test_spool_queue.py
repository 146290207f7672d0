"""What is put into the spool comes out: in order, whole, and until it is forgotten."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from collector.spool import (
    Displaced,
    HeldMessages,
    HeldState,
    NotHeldError,
    Origin,
    Spool,
    Spooled,
    SpoolQueue,
    held_id,
)
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from pathlib import Path

ALL = 100 * 1024 * 1024
SENDER = Origin("192.0.2.1", "sender.example")


def envelope(name: str = "a") -> Envelope:
    return Envelope(
        source=Source.SMTP,
        received_at=datetime(2026, 11, 24, 10, 0, 0, 123456, tzinfo=UTC),
        name=name,
        peer="192.0.2.1",
        mail_from="noreply@sender.example",
        recipients=("tlsrpt@example.com", "tlsrpt@example.net"),
        token_domain="example.com",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def put(folder: Path, *bodies: bytes) -> list[int]:
    spool = Spool(folder, keep_free=0)
    try:
        return [spool.put(envelope(), body) for body in bodies]
    finally:
        spool.close()


def put_off(queue: SpoolQueue, message: Spooled, wait: timedelta) -> list[Displaced]:
    return queue.defer(message, until=datetime.now(UTC) + wait, reason="no DNS answer", origin=SENDER)


def hold(queue: SpoolQueue, message: Spooled, state: HeldState = HeldState.REJECTED) -> str:
    return queue.hold(message, state=state, reason="r", detail="d", origin=SENDER).id


def test_what_is_put_comes_out_whole_and_in_order(folder: Path) -> None:
    bodies = [b"", b"\x00\xff\r\n.\r\n", b"x" * 300_000, b"last"]
    ids = put(folder, *bodies)
    claimed = SpoolQueue(folder).claim(10, ALL)
    assert [message.id for message in claimed] == ids == sorted(ids)
    assert [message.body for message in claimed] == bodies
    assert claimed[0].envelope == envelope()
    assert claimed[0].attempts == 0


async def test_arrivals_at_once_share_a_commit_and_each_gets_its_own_id(folder: Path) -> None:
    spool = Spool(folder, keep_free=0)
    ids = await asyncio.gather(
        *(spool.put_async(envelope(str(number)), str(number).encode()) for number in range(1200))
    )
    spool.close()
    claimed = SpoolQueue(folder).claim(2000, ALL)
    assert {message.id: message.body for message in claimed} == {
        number: str(index).encode() for index, number in enumerate(ids)
    }
    assert all(message.envelope.name.encode() == message.body for message in claimed)


def test_claims_stop_at_the_count_and_at_the_bytes_and_go_on_from_there(folder: Path) -> None:
    put(folder, b"1" * 100, b"2" * 100, b"3" * 100, b"4" * 1000, b"5")
    queue = SpoolQueue(folder)
    assert [message.body[:1] for message in queue.claim(2, ALL)] == [b"1", b"2"]
    assert [message.body[:1] for message in queue.claim(9, 150)] == [b"3"]  # the next would be too much
    assert [message.body[:1] for message in queue.claim(9, 150)] == [b"4"]  # and is more than that alone
    assert [message.body[:1] for message in queue.claim(9, 150)] == [b"5"]
    assert queue.claim(9, 150) == []


def test_due_messages_and_new_ones_share_the_bytes_of_a_claim(folder: Path) -> None:
    put(folder, b"1" * 100, b"2" * 100, b"3" * 10)
    queue = SpoolQueue(folder)
    (first,) = queue.claim(1, ALL)
    put_off(queue, first, timedelta(seconds=-1))
    assert [message.body[:1] for message in queue.claim(9, 150)] == [b"1"]
    assert [message.body[:1] for message in queue.claim(9, 150)] == [b"2", b"3"]


def test_a_restart_claims_again_what_was_not_forgotten(folder: Path) -> None:
    first, second, third = put(folder, b"1", b"2", b"3")
    queue = SpoolQueue(folder)
    assert len(queue.claim(10, ALL)) == 3
    queue.forget([second])
    queue.close()
    assert [message.id for message in SpoolQueue(folder).claim(10, ALL)] == [first, third]


def test_ids_are_never_used_again(folder: Path) -> None:
    (first,) = put(folder, b"1")
    queue = SpoolQueue(folder)
    queue.claim(1, ALL)
    queue.forget([first])
    (second,) = put(folder, b"2")
    assert second > first
    assert [message.body for message in queue.claim(1, ALL)] == [b"2"]


def test_deferred_messages_wait_for_their_time_then_come_first(folder: Path) -> None:
    first, second = put(folder, b"1", b"2")
    queue = SpoolQueue(folder)
    (message,) = queue.claim(1, ALL)
    assert put_off(queue, message, timedelta(hours=1)) == []
    assert [message.id for message in queue.claim(10, ALL)] == [second]
    assert queue.claim(10, ALL) == []
    put_off(queue, message, -timedelta(seconds=1))
    put(folder, b"3")
    claimed = queue.claim(1, ALL)
    assert [(message.id, message.attempts) for message in claimed] == [(first, 2)]
    assert [message.body for message in queue.claim(10, ALL)] == [b"3"], "a claimed message is given out once"
    assert queue.stats().deferred == 1


def test_a_clock_that_was_ahead_defers_for_no_longer(folder: Path) -> None:
    put(folder, b"a")
    queue = SpoolQueue(folder)
    (message,) = queue.claim(1, ALL)
    put_off(queue, message, timedelta(days=400))
    assert [each.id for each in queue.claim(1, ALL)] == [message.id]


def test_what_a_clock_that_was_ahead_has_held_is_judged_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, b"a", b"b", b"c")
    queue, held = SpoolQueue(folder), HeldMessages(folder)
    before, *others = queue.claim(3, ALL)
    kept = hold(queue, before)
    with monkeypatch.context() as patched:
        ahead = time.time() + 400 * 86_400
        patched.setattr("collector.spool.held.time.time", lambda: ahead)
        for message in others:
            hold(queue, message, HeldState.QUARANTINED)
    assert held.judge_again() == 2
    again = queue.claim(3, ALL)
    assert [(each.body, each.envelope) for each in again] == [(each.body, each.envelope) for each in others]
    assert [each.id for each in held.list()] == [kept]
    assert held.judge_again() == 0


def test_a_restart_keeps_deferrals(folder: Path) -> None:
    _, second = put(folder, b"1", b"2")
    queue = SpoolQueue(folder)
    put_off(queue, queue.claim(10, ALL)[0], timedelta(hours=1))
    queue.close()
    assert [message.id for message in SpoolQueue(folder).claim(10, ALL)] == [second]


def test_stats_tell_depth_bytes_age_and_what_is_held(folder: Path) -> None:
    queue = SpoolQueue(folder)
    assert queue.stats().oldest_age is None
    put(folder, b"12345", b"678", b"bad")
    _, second, third = queue.claim(3, ALL)
    hold(queue, third)
    queue.forget([second.id, second.id, 999])
    stats = queue.stats()
    assert (stats.depth, stats.bytes, stats.deferred) == (1, 5, 0)
    assert stats.oldest_age is not None
    assert stats.oldest_age == pytest.approx(datetime.now(UTC) - envelope().received_at, abs=timedelta(minutes=1))
    assert stats.held[HeldState.REJECTED].messages == 1
    assert HeldState.QUARANTINED not in stats.held


def test_holding_twice_keeps_one(folder: Path) -> None:
    """A power failure can undo `hold` for ingest, which then does it again, maybe after the mail was sent again too."""
    put(folder, b"same", b"same")
    queue = SpoolQueue(folder)
    one, two = queue.claim(2, ALL)
    names = {hold(queue, message) for message in (one, two)}
    assert names == {held_id(envelope(), b"same")}
    assert queue.stats().depth == 0
    assert len(HeldMessages(folder).list()) == 1


def test_a_released_message_returns_to_the_queue_as_accepted_by_an_operator(folder: Path) -> None:
    body = b"quarantined report" * 1000
    put(folder, body)
    queue = SpoolQueue(folder)
    name = hold(queue, queue.claim(1, ALL)[0], HeldState.QUARANTINED)
    held = HeldMessages(folder)
    message, kept = held.get(name[:6])
    assert (message.id, message.reason, message.detail, message.size, kept) == (
        name,
        "r",
        "d",
        len(body),
        body,
    )
    assert queue.stats().held[HeldState.QUARANTINED].bytes < len(body), "held bytes are compressed"
    held.release(name)
    (again,) = queue.claim(1, ALL)
    assert again.body == body
    assert again.envelope.by_operator
    assert held.list() == []
    with pytest.raises(NotHeldError, match="nothing is held under"):
        held.release(name)


def test_discarding_needs_an_unambiguous_id(folder: Path) -> None:
    put(folder, b"1", b"2")
    queue = SpoolQueue(folder)
    names = [hold(queue, message) for message in queue.claim(2, ALL)]
    held = HeldMessages(folder)
    for wrong in ("abc", "", "%", "zzzzz"):
        with pytest.raises(NotHeldError, match="at least 4 hex digits"):
            held.discard(wrong)
    held.discard(names[0])
    assert [message.id for message in held.list()] == [names[1]]
    assert held.list(HeldState.QUARANTINED) == []


def test_surrogates_in_an_envelope_do_not_stop_a_mail(folder: Path) -> None:
    """An 8-bit sender address, or a file's name, is decoded with surrogateescape and is no Unicode."""
    spool = Spool(folder, keep_free=0)
    moment = datetime.now(UTC)
    spool.put(Envelope(source=Source.SMTP, received_at=moment, mail_from="caf\udce9@example.com"), b"")
    spool.put(Envelope(source=Source.MAILDIR, received_at=moment, name="a Maildir, file caf\udce9"), b"")
    spool.close()
    mail, file = (each.envelope for each in SpoolQueue(folder).claim(2, ALL))
    assert mail.mail_from == "caf\\udce9@example.com"
    assert file.name == "a Maildir, file caf\\udce9"
