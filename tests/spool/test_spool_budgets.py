"""What nobody has authenticated fills no disk, and a flood of it displaces itself first."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from collector.spool import Displaced, HeldMessages, HeldState, Holding, Origin, Pruned, Spool, Spooled, SpoolQueue
from collector.spool.database import SpoolFile
from mailposture.config.model import Spool as Rules
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024
QUARANTINED, REJECTED = HeldState.QUARANTINED, HeldState.REJECTED
VICTIM = Origin("192.0.2.1", "reporter.example")
ATTACKER = Origin("198.51.100.7", "evil.example")
RELAY = "127.0.0.1"


class House:
    """A spool, and what ingest does with it."""

    def __init__(self, folder: Path, **sizes: Any) -> None:
        self.folder = folder
        self.rules = Rules.model_validate(sizes)
        self.queue = SpoolQueue(folder, rules=self.rules)
        self.held = HeldMessages(folder, rules=self.rules)
        self._serial = 0

    def message(self, size: int) -> Spooled:
        """As claimed. Its bytes are noise, which no compression makes smaller."""
        self._serial += 1
        envelope = Envelope(source=Source.SMTP, received_at=datetime.now(UTC), name=str(self._serial))
        return Spooled(id=self._serial, envelope=envelope, body=random.Random(self._serial).randbytes(size), attempts=0)

    def hold(self, origin: Origin, size: int, state: HeldState = QUARANTINED) -> Holding:
        return self.queue.hold(self.message(size), state=state, reason="no-signature", detail="unsigned", origin=origin)

    def defer(self, origin: Origin, size: int) -> tuple[int, list[int]]:
        """The id of a message that is deferred, and the ids of those that cannot wait any longer."""
        message = self.message(size)
        return message.id, [displaced.id for displaced in self.put_off(message, origin)]

    def put_off(self, message: Spooled, origin: Origin) -> list[Displaced]:
        until = datetime.now(UTC) + timedelta(hours=1)
        return self.queue.defer(message, until=until, reason="no answer", origin=origin)

    def bytes(self, state: HeldState = QUARANTINED) -> int:
        total = self.queue.stats().held.get(state)
        return total.bytes if total else 0

    def holds(self, holding: Holding) -> bool:
        return any(each.id == holding.id for each in self.held.list(limit=100_000))

    def close(self) -> None:
        self.queue.close()
        self.held.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "spool", held_size=200 * KIB, deferred_size=200 * KIB)
    yield house
    house.close()


@pytest.mark.parametrize("state", HeldState)
@pytest.mark.parametrize("size", [500, 60 * KIB, 300 * KIB])
def test_a_budget_is_kept_with_every_message(house: House, state: HeldState, size: int) -> None:
    for number in range(12):
        house.hold(Origin(f"198.51.100.{number}"), size, state)
        assert house.bytes(state) <= 200 * KIB


def test_very_many_small_messages_are_bounded_too(house: House) -> None:
    """By what they take in the file: their rows, indexes and accounts are larger than they are."""
    for number in range(600):
        house.hold(Origin(ATTACKER.client, f"{number}." + "x" * 240), 1)
    with SpoolFile(house.folder, durability="NORMAL").reading() as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    assert len(house.held.list()) < 200
    assert (pages - free) * size < 2 * 200 * KIB


@pytest.mark.slow
@pytest.mark.parametrize("first", ["report", "flood"])
@pytest.mark.parametrize("size", [200, 3 * KIB, 30 * KIB])
@pytest.mark.parametrize(
    "attacker",
    [
        pytest.param(lambda _: ATTACKER, id="one client"),
        pytest.param(lambda n: Origin(ATTACKER.client, f"evil{n}.example"), id="one client of many names"),
        pytest.param(lambda _: Origin(ATTACKER.client, VICTIM.claim), id="one client under the reporter's name"),
        pytest.param(lambda n: Origin(f"198.51.100.{n % 20}", VICTIM.claim), id="many clients under that name"),
        pytest.param(lambda _: Origin("evil.example", signed=True), id="a signer"),
    ],
)
def test_a_flood_leaves_the_report_of_another_client(house: House, attacker: Any, size: int, first: str) -> None:
    """Twenty clients of 200 KiB have 10 KiB each: a report of 2 KB is below the share of each of them."""
    report = house.hold(VICTIM, 2000) if first == "report" else None
    for number in range(4 * 200 * KIB // (size + 500)):
        house.hold(attacker(number), size)
    report = report or house.hold(VICTIM, 2000)
    assert house.holds(report)


def test_behind_a_relay_the_claimed_domain_that_takes_most_makes_room(house: House) -> None:
    report = house.hold(Origin(RELAY, "reporter.example"), 2000)
    for number in range(40):
        house.hold(Origin(RELAY, f"evil{number % 3}.example"), 20 * KIB)
    assert house.holds(report)
    assert house.holds(house.hold(Origin(RELAY, "late.example"), 2000))


def test_a_flood_under_the_name_of_a_reporter_leaves_what_was_there_before(house: House) -> None:
    same = Origin(RELAY, "reporter.example")
    report = house.hold(same, 2000)
    for _ in range(40):
        house.hold(same, 20 * KIB)
    assert house.holds(report)
    assert not house.hold(same, 190 * KIB).kept, "the newest of the heaviest goes, be it the one that came now"


def test_what_carries_a_valid_signature_is_not_displaced_by_what_anybody_can_forge(house: House) -> None:
    signed = [house.hold(Origin("reporter.example", signed=True), 9 * KIB) for _ in range(10)]
    for number in range(100):
        house.hold(Origin(f"198.51.100.{number}", "reporter.example"), 9 * KIB)
    assert all(map(house.holds, signed))
    assert house.bytes() <= 200 * KIB


def test_what_is_delivered_again_and_again_under_a_valid_signature_leaves_what_its_signer_delivers(
    house: House,
) -> None:
    for _ in range(40):
        house.hold(Origin("reporter.example", ATTACKER.client, signed=True), 9 * KIB)
    assert house.holds(house.hold(Origin("reporter.example", VICTIM.client, signed=True), 9 * KIB))


def test_a_hundred_signers_displace_none_who_has_less(house: House) -> None:
    signed = house.hold(Origin("reporter.example", VICTIM.client, signed=True), 500)
    unsigned = house.hold(VICTIM, 500)
    for number in range(1000):
        house.hold(Origin(f"evil{number % 100}.example", ATTACKER.client, signed=True), KIB)
    assert house.holds(signed)
    assert house.holds(unsigned)


def test_a_budget_of_rejections_takes_nothing_from_quarantine(house: House) -> None:
    reports = [house.hold(VICTIM, 20 * KIB) for _ in range(5)]
    for _ in range(20):
        house.hold(ATTACKER, 50 * KIB, REJECTED)
    assert all(map(house.holds, reports))


def test_accounts_are_right_whatever_comes_and_goes(house: House) -> None:
    chance = random.Random(8460)
    for _ in range(300):
        origin = Origin(
            f"192.0.2.{chance.randrange(3)}", f"{chance.randrange(3)}.example", signed=chance.random() < 0.3
        )
        done = house.hold(origin, chance.randrange(9 * KIB), chance.choice(list(HeldState)))
        if done.kept and chance.random() < 0.2:
            chance.choice((house.held.release, house.held.discard))(done.id)
        house.defer(origin, chance.randrange(9 * KIB))
    file = SpoolFile(house.folder, durability="NORMAL")
    with file.reading() as connection:
        counted = connection.execute(
            "SELECT state, signed, client, claim, messages, bytes FROM shares WHERE level = 2 ORDER BY 1, 2, 3, 4"
        ).fetchall()
        true = connection.execute(
            "SELECT state, signed, client, claim, count(*), sum(bytes) FROM held GROUP BY 1, 2, 3, 4 UNION ALL"
            " SELECT 'deferred', signed, client, claim, count(*), sum(bytes) FROM deferred GROUP BY 1, 2, 3, 4"
            " ORDER BY 1, 2, 3, 4"
        ).fetchall()
        totals = [
            connection.execute(
                "SELECT state, signed, sum(messages), sum(bytes) FROM shares WHERE level = ? GROUP BY 1, 2",
                (level,),
            ).fetchall()
            for level in (0, 1, 2)
        ]
    file.close()
    assert counted == true
    assert totals[0] == totals[1] == totals[2]


def test_what_waits_for_dns_is_bounded_and_the_heaviest_stops_waiting(house: House) -> None:
    report, _ = house.defer(VICTIM, 3000)
    waiting, displaced = {report}, set()
    for number in range(30):
        own, going = house.defer(Origin(ATTACKER.client, f"{number}.evil.example"), 40 * KIB)
        waiting.add(own)
        displaced.update(going)
        assert house.queue.stats().deferred_bytes <= 200 * KIB
    late, going = house.defer(Origin("192.0.2.9", "late.example"), 3000)
    assert late not in going
    assert report not in displaced
    assert displaced < waiting
    assert house.queue.stats().deferred == len(waiting - displaced) + 1 - len(going)


def test_what_cannot_wait_is_still_there_until_it_is_held(house: House) -> None:
    spool = Spool(house.folder, keep_free=0)
    spool.put(house.message(1).envelope, bytes(300 * KIB))
    spool.close()
    (message,) = house.queue.claim(1, 1)
    assert house.put_off(message, ATTACKER) == [Displaced(id=message.id, reason="no answer", origin=ATTACKER)]
    assert house.queue.read(message.id).body == message.body
    assert [one.id for one in SpoolQueue(house.folder).claim(1, 1)] == [message.id], "a restart claims it again"
    house.queue.hold(message, state=QUARANTINED, reason="no-room-to-wait", detail="", origin=ATTACKER)
    assert house.queue.stats().depth == 0


def test_what_is_deferred_again_counts_once(house: House) -> None:
    message = house.message(1000)
    for _ in range(3):
        house.put_off(message, VICTIM)
    assert 1000 < house.queue.stats().deferred_bytes < 2000
    house.queue.forget([message.id])
    assert house.queue.stats().deferred_bytes == 0


def test_pruning_drops_what_was_held_long_enough_and_what_a_smaller_budget_has_no_room_for(house: House) -> None:
    for _ in range(8):
        house.hold(VICTIM, 20 * KIB)
    assert house.held.prune(QUARANTINED) == Pruned(age=0, budget=0)
    smaller = HeldMessages(house.folder, rules=Rules.model_validate({"held_size": 50 * KIB}))
    assert smaller.prune(QUARANTINED) == Pruned(age=0, budget=6)
    assert house.bytes() <= 50 * KIB
    briefly = HeldMessages(house.folder, rules=Rules.model_validate({"held_for": timedelta(0)}))
    assert briefly.prune(QUARANTINED) == Pruned(age=2, budget=0)
    assert house.bytes() == 0
