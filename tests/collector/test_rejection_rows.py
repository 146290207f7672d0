"""Rows about what anybody can send are bounded, and nothing is left uncounted."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from collector.ingest.rejection_rows import RejectionRows
from collector.spool import Spooled
from reports.envelope import Envelope, Source
from reports.rejection import Fault, Reason, RejectionRow

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FAULT = Fault(Reason.NO_REPORT, "no report")


def message(number: int, peer: str = "192.0.2.1") -> Spooled:
    envelope = Envelope(source=Source.SMTP, received_at=NOON, name=str(number), peer=peer)
    return Spooled(id=number, envelope=envelope, body=b"x" * 100, attempts=0)


def as_stored(rows: list[RejectionRow]) -> list[RejectionRow]:
    """The last of each key, as the table has them."""
    return list({(row.received_at, row.held_id): row for row in rows}.values())


def test_beyond_its_rows_a_client_is_counted_in_one() -> None:
    rows = RejectionRows(of_one_client=3, in_all=100, now=lambda: NOON)
    stored = as_stored([rows.of(message(number), FAULT) for number in range(50)])
    other = rows.of(message(99, "192.0.2.2"), FAULT)
    assert [row.messages for row in stored] == [1, 1, 1, 47]
    assert (stored[-1].size, stored[-1].reason, stored[-1].received_at) == (4700, "no-report", NOON.replace(hour=0))
    assert other.messages == 1


def test_very_many_clients_are_bounded_too() -> None:
    rows = RejectionRows(of_one_client=3, in_all=10, now=lambda: NOON)
    stored = as_stored([rows.of(message(number, f"192.0.2.{number}"), FAULT) for number in range(200)])
    assert len(stored) == 11
    assert sum(row.messages for row in stored) == 200


def test_a_batch_that_is_written_again_counts_once() -> None:
    rows = RejectionRows(of_one_client=1, in_all=10, now=lambda: NOON)
    batch = [message(number) for number in range(5)]
    first = [rows.of(each, FAULT) for each in batch]
    assert [rows.of(each, FAULT) for each in batch] == first
    rows.settled(each.id for each in batch)
    assert rows.of(message(9), FAULT).messages == 5


def test_each_day_and_each_process_has_rows_of_its_own() -> None:
    now = [NOON]
    rows = RejectionRows(of_one_client=1, in_all=10, now=lambda: now[0])
    later = RejectionRows(of_one_client=1, in_all=10, now=lambda: NOON + timedelta(seconds=1))
    stored = [rows.of(message(number), FAULT) for number in range(3)]
    stored += [later.of(message(number), FAULT) for number in range(3)]
    now[0] = NOON + timedelta(days=1)
    stored += [rows.of(message(number), FAULT) for number in range(10, 13)]
    days = Counter[datetime]()
    for row in as_stored(stored):
        days[row.received_at.replace(hour=0)] += row.messages
    assert days == {NOON.replace(hour=0): 1 + 2 + 2 + 1, now[0].replace(hour=0): 2}
