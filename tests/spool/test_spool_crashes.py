"""Killed at any instant, full or damaged: what was acknowledged is still there, once, or an error says so.

More kills: MAILPOSTURE_KILLS=300 pytest tests/spool/test_spool_crashes.py -k kills
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import smtplib
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from room import has_room

from collector.spool import HeldMessages, Spool, SpoolDamagedError, SpoolError, SpoolFullError, SpoolQueue
from collector.spool.database import DATABASE
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = 1 << 30
KILLS = int(os.environ.get("MAILPOSTURE_KILLS", "4"))
SENDERS = 8
ENVELOPE = Envelope(source=Source.SMTP, received_at=datetime(2026, 11, 24, tzinfo=UTC))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def fill(folder: Path, *bodies: bytes) -> None:
    spool = Spool(folder, keep_free=0)
    for body in bodies:
        spool.put(ENVELOPE, body)
    spool.close()


@contextlib.contextmanager
def receiver(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("receiver.py")), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def send_until_it_dies(port: int, first: int, acknowledged: list[int]) -> None:
    """Send mails, numbered from `first` on, and note which were acknowledged."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        client = smtplib.SMTP("127.0.0.1", port, timeout=60)
        client.ehlo("client.example")
        for number in range(first, first + 1_000_000):
            client.mail("a@sender.example")
            client.rcpt("tlsrpt@example.com")
            code, _ = client.data(b"%d\r\n" % number + b"x" * random.choice((10, 4000, 30_000)) + b"\r\n")
            if code == 250:
                acknowledged.append(number)


@pytest.mark.slow
def test_random_kills_under_load_lose_nothing_acknowledged_and_double_nothing(folder: Path) -> None:
    acknowledged: list[int] = []
    found: Counter[int] = Counter()
    forgotten: set[int] = set()
    for round_number in range(KILLS):
        with receiver(folder) as (process, port):
            senders = [
                threading.Thread(
                    target=send_until_it_dies,
                    args=(port, (round_number * SENDERS + sender) * 1_000_000, acknowledged),
                )
                for sender in range(SENDERS)
            ]
            for sender in senders:
                sender.start()
            queue = SpoolQueue(folder)  # ingest, on the same file meanwhile, restarted each round
            enough = len(acknowledged) + random.randrange(21, 80)
            while len(acknowledged) < enough and any(sender.is_alive() for sender in senders):
                claimed = queue.claim(100, ALL)
                remembered = [message for message in claimed if random.random() < 0.7]
                found.update(int(message.body.partition(b"\r\n")[0]) for message in remembered)
                forgotten.update(int(message.body.partition(b"\r\n")[0]) for message in remembered)
                queue.forget([message.id for message in remembered])
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            for sender in senders:
                sender.join()
            queue.close()
    queue = SpoolQueue(folder)
    rest = queue.claim(1_000_000, ALL)
    found.update(int(message.body.partition(b"\r\n")[0]) for message in rest)
    assert len(acknowledged) > 20 * KILLS, "senders died before their receiver"
    assert not set(acknowledged) - set(found), "acknowledged and lost"
    assert not [number for number, times in found.items() if times > 1], "there twice"
    stats = queue.stats()
    assert (stats.depth, stats.bytes) == (len(rest), sum(len(message.body) for message in rest))


@contextlib.contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """What a full disk or a quota does: writes fail."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_when_writes_fail_it_refuses_and_recovers(folder: Path) -> None:
    spool = Spool(folder, keep_free=0)
    kept = []
    with files_limited_to(2_000_000):
        with pytest.raises(SpoolFullError, match="disk"):  # noqa: PT012
            for number in range(1000):
                spool.put(ENVELOPE, b"%d" % number + b"x" * 50_000)
                kept.append(number)
        with pytest.raises(SpoolFullError):
            spool.check_room()
    eventually("room again", lambda: has_room(spool))
    spool.put(ENVELOPE, b"after x")
    spool.close()
    bodies = [message.body for message in SpoolQueue(folder).claim(2000, ALL)]
    assert [int(body.partition(b"x")[0]) for body in bodies[:-1]] == kept
    assert bodies[-1] == b"after x"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        spool = Spool(mount / "spool", keep_free=0)
        (mount / "ballast").write_bytes(bytes(1_500_000))
        kept = 0
        with pytest.raises(SpoolFullError, match="disk"):  # noqa: PT012
            while True:
                spool.put(ENVELOPE, b"x" * 50_000)
                kept += 1
        (mount / "ballast").unlink()
        eventually("room again", lambda: has_room(spool))
        spool.put(ENVELOPE, b"after")
        spool.close()
        queue = SpoolQueue(mount / "spool")
        assert [len(message.body) for message in queue.claim(1000, ALL)] == [50_000] * kept + [5]
        queue.close()
    finally:
        subprocess.run(["umount", mount], check=True)


def test_less_than_keep_free_refuses_until_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(folder, keep_free=1 << 60)
    with pytest.raises(SpoolFullError, match="keep_free"):
        spool.put(ENVELOPE, b"x")
    monkeypatch.setattr(spool, "_keep_free", 0)
    eventually("room again", lambda: has_room(spool))
    spool.put(ENVELOPE, b"x")
    spool.close()
    with pytest.raises(SpoolError, match="is closed"):
        spool.put(ENVELOPE, b"x")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: os.truncate(path, path.stat().st_size // 3), "is damaged"),
        (lambda path: path.write_bytes(os.urandom(50_000)), "is damaged"),
        (lambda path: path.write_bytes(b"SQLite format 3\x00" + os.urandom(50_000)), "is damaged"),
    ],
    ids=["truncated", "noise", "noise-behind-a-good-header"],
)
def test_a_damaged_file_is_named_with_the_next_step_and_left_alone(folder: Path, damage, words: str) -> None:
    fill(folder, *(b"x" * 5000 for _ in range(100)))
    path = folder / DATABASE
    damage(path)
    before = path.read_bytes()
    for opened in (lambda: Spool(folder, keep_free=0), lambda: SpoolQueue(folder), lambda: HeldMessages(folder)):
        with pytest.raises(SpoolDamagedError, match=words) as error:
            opened()
        assert str(path) in str(error.value)
        assert "aside" in str(error.value)
    assert path.read_bytes() == before


def test_damage_found_later_is_an_error_and_no_silence(folder: Path) -> None:
    fill(folder, *(b"x" * 5000 for _ in range(200)))
    path = folder / DATABASE
    content = bytearray(path.read_bytes())
    content[8 * 8192 : 100 * 8192] = os.urandom(92 * 8192)
    path.write_bytes(content)
    queue = SpoolQueue(folder)
    with pytest.raises(SpoolDamagedError, match="is damaged"):
        queue.claim(1000, ALL)


def test_a_foreign_or_newer_file_is_not_touched(folder: Path) -> None:
    folder.mkdir()
    foreign = sqlite3.connect(folder / DATABASE)
    foreign.execute("CREATE TABLE precious (x)")
    foreign.close()
    with pytest.raises(SpoolDamagedError, match="not a mailposture spool"):
        Spool(folder, keep_free=0)
    (folder / DATABASE).unlink()
    fill(folder, b"x")
    newer = sqlite3.connect(folder / DATABASE)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(SpoolError, match="another version"):
        SpoolQueue(folder)


def test_a_creation_that_was_interrupted_is_finished_by_the_next(folder: Path) -> None:
    folder.mkdir()
    begun = sqlite3.connect(folder / DATABASE)
    begun.execute("PRAGMA page_size = 8192")
    begun.execute("PRAGMA journal_mode = WAL")
    begun.close()
    assert (folder / DATABASE).stat().st_size > 0
    fill(folder, b"x")
    assert len(SpoolQueue(folder).claim(10, ALL)) == 1


@pytest.mark.slow
def test_a_large_backlog_is_taken_in_bounded_memory_and_its_room_given_back(folder: Path) -> None:
    spool = Spool(folder, keep_free=0)
    for number in range(150):
        spool.put(ENVELOPE, bytes([number]) * 1_000_000)
    spool.close()
    assert (folder / DATABASE).stat().st_size > 150_000_000
    program = (
        "import sys, resource, pathlib; from collector.spool import SpoolQueue\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "queue = SpoolQueue(pathlib.Path(sys.argv[1])); count = 0\n"
        "while claimed := queue.claim(10_000, 8_000_000):\n"
        "    count += len(claimed); queue.forget([message.id for message in claimed])\n"
        "print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) // 1024)\n"
        "for _ in range(50): queue.claim(1, 1)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True
    ).stdout
    count, mebibytes = map(int, output.split())
    assert count == 150
    assert mebibytes < 60
    assert (folder / DATABASE).stat().st_size < 50_000_000


def test_a_spool_that_cannot_be_opened_names_the_next_step(folder: Path) -> None:
    (folder / DATABASE).mkdir(parents=True)
    with pytest.raises(
        SpoolError, match=r"unable to open database file; it .* must be files that this account may write"
    ):
        Spool(folder, keep_free=0)
