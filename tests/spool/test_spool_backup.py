"""A backup that is written while mail arrives has everything that was acknowledged before it began, and is whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from collector.spool import (
    HeldMessages,
    HeldState,
    Origin,
    Saved,
    Spool,
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
    SpoolQueue,
    back_up,
    restore,
)
from reports.envelope import Envelope, Source

ALL = 1 << 30


def envelope(name: str) -> Envelope:
    return Envelope(source=Source.SMTP, received_at=datetime(2026, 11, 24, tzinfo=UTC), name=name)


def put(folder: Path, *bodies: bytes) -> None:
    with closing(Spool(folder, keep_free=0)) as spool:
        for body in bodies:
            spool.put(envelope(body.decode()), body)


def waiting(folder: Path) -> list[tuple[str, bytes]]:
    with closing(SpoolQueue(folder)) as queue:
        return [(message.envelope.name, message.body) for message in queue.claim(100_000, ALL)]


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A spool with one message that waits, one that is deferred, and one that is quarantined."""
    folder = tmp_path / "used"
    put(folder, b"held", b"deferred", b"waiting")
    with closing(SpoolQueue(folder)) as queue:
        held, deferred = queue.claim(2, ALL)
        origin = Origin("192.0.2.1")
        queue.hold(held, state=HeldState.QUARANTINED, reason="no-signature", detail="none", origin=origin)
        queue.defer(deferred, until=datetime.now(UTC) + timedelta(hours=1), reason="no answer", origin=origin)
    return folder


def test_a_backup_goes_back_onto_an_empty_disk(used: Path, tmp_path: Path) -> None:
    saved = back_up(used, tmp_path / "backup", keep_free=0)
    assert saved == Saved(waiting=2, held=1)
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    new = tmp_path / "data" / "spool"
    assert restore(new, tmp_path / "backup") == saved
    assert waiting(new) == [("deferred", b"deferred"), ("waiting", b"waiting")]
    with closing(HeldMessages(new)) as held, closing(HeldMessages(used)) as before:
        assert held.list() == before.list()
        assert held.get(held.list()[0].id)[1] == b"held"
    with closing(SpoolQueue(new)) as queue:
        stats = queue.stats()
        assert (stats.depth, stats.bytes, stats.held[HeldState.QUARANTINED].messages) == (2, 15, 1)


def test_a_backup_goes_back_beside_what_arrived_since(used: Path, tmp_path: Path) -> None:
    back_up(used, tmp_path / "backup", keep_free=0)
    new = tmp_path / "new"
    put(new, b"since")
    restore(new, tmp_path / "backup")
    restore(new, tmp_path / "backup")
    assert waiting(new) == [(name, name.encode()) for name in ("since", *["deferred", "waiting"] * 2)]
    with closing(HeldMessages(new)) as held:
        assert len(held.list()) == 1


def test_a_backup_while_mail_arrives_has_all_that_was_acknowledged_before(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    acknowledged: list[bytes] = []
    stopping = threading.Event()
    some = threading.Semaphore(0)

    def receive() -> None:
        with closing(Spool(folder, keep_free=0)) as spool:
            while not stopping.is_set():
                body = f"{len(acknowledged)}".encode() + b" " * 20_000
                spool.put(envelope(body.decode().strip()), body)
                acknowledged.append(body)
                some.release()

    def forget() -> None:
        """As ingest does with what it has stored."""
        with closing(SpoolQueue(folder)) as queue:
            while not stopping.is_set():
                for message in queue.claim(1, ALL):
                    if message.id % 3 == 0:
                        queue.forget([message.id])

    threads = [threading.Thread(target=receive), threading.Thread(target=forget)]
    threads[0].start()
    assert some.acquire(timeout=60)
    threads[1].start()
    try:
        for number in range(5):
            before = len(acknowledged)
            back_up(folder, tmp_path / f"{number}", keep_free=0)
            restore(tmp_path / f"restored {number}", tmp_path / f"{number}")
            found = dict(waiting(tmp_path / f"restored {number}"))
            assert all(len(body) > 20_000 and body.startswith(name.encode()) for name, body in found.items())
            kept = {f"{index}" for index in range(before) if (index + 1) % 3}
            assert kept <= found.keys()
            for _ in range(3):  # it goes on meanwhile
                assert some.acquire(timeout=60)
    finally:
        stopping.set()
        for thread in threads:
            thread.join(60)


def test_what_is_no_backup_changes_nothing(used: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    (tmp_path / "text").write_text("mail\n" * 1000)
    with pytest.raises(SpoolDamagedError, match=r"text: is damaged"):
        restore(new, tmp_path / "text")
    with pytest.raises(SpoolError, match=r"there is no such file"):
        restore(new, tmp_path / "missing")
    back_up(used, tmp_path / "backup", keep_free=0)
    os.truncate(tmp_path / "backup", (tmp_path / "backup").stat().st_size // 2)
    with pytest.raises(SpoolDamagedError):
        restore(new, tmp_path / "backup")
    assert not new.exists()


def test_nothing_is_overwritten_and_nothing_is_made_by_mistake(used: Path, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    with pytest.raises(SpoolError, match=r"there: is there already; name a new file"):
        back_up(used, tmp_path / "there", keep_free=0)
    with pytest.raises(SpoolError, match=r"holds no spool"):
        back_up(tmp_path / "none", tmp_path / "backup", keep_free=0)
    assert not (tmp_path / "none").exists()


def test_a_backup_leaves_room_for_mail(used: Path, tmp_path: Path) -> None:
    with pytest.raises(SpoolFullError, match=r"are free, and a backup may need .* MiB"):
        back_up(used, tmp_path / "backup", keep_free=1 << 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["used"]


def test_the_commands_pass_a_backup_through_a_pipe(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"domains": [{"name": "example.com"}], "data": name}))
    put(tmp_path / "one" / "spool", b"waiting")
    root = Path(__file__).parents[2]
    command = f"{sys.executable} -m cli"
    done = subprocess.run(
        f"{command} backup --config {tmp_path}/one.yaml - | {command} restore --config {tmp_path}/two.yaml -",
        shell=True,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "restored 1 waiting and 0 held messages\n"), done.stderr
    assert done.stderr == "saved 1 waiting and 0 held messages\n"
    assert waiting(tmp_path / "two" / "spool") == [("waiting", b"waiting")]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["spool"]
