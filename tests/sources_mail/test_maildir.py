"""A Maildir on the same machine: what holds for a mailbox by IMAP holds here, by the same loop."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import lz4.block
import pyarrow as pa
import pytest
from eventually import eventually
from sources_mail.reading import SOON, Clock, RecordingSpool, dmarc_report, events, private_mail, report_mail
from structlog.testing import capture_logs

from collector.sources.mailbox.maildir import MaildirMailbox, MaildirSession
from mailposture.config.mailboxes import Maildir as Settings
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.sources.mailbox.loop import MailboxLoop

LATER = 2_000_000_000  # nanoseconds: files have settled by then
HOUR = 3600.0
DOVECOT_LZ4 = b"Dovecot-LZ4\x0d\x2a\x9b\xc5" + (1 << 16).to_bytes(4, "big")


class Delivery:
    """Delivers as mail servers do: into tmp, and from there by a rename."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        for name in ("tmp", "new", "cur"):
            (path / name).mkdir(parents=True)

    def __call__(self, *mails: bytes, folder: str = "new", flags: str = "", at: float | None = None) -> list[str]:
        names = []
        for mail in mails:
            self.number += 1
            name = f"{int(at or time.time())}.M{self.number:06d}P1.mail.example{flags}"
            made = self.path / "tmp" / name
            made.write_bytes(mail)
            made.rename(self.path / folder / name)
            names.append(name)
        return names

    def bodies(self, folder: str = "", *, in_: tuple[str, ...] = ("new", "cur")) -> list[bytes]:
        paths = [path for name in in_ for path in (self.path / folder / name).glob("*")]
        return [path.read_bytes() for path in sorted(paths, key=lambda path: path.name)]


@pytest.fixture
def deliver(tmp_path: Path) -> Delivery:
    return Delivery(tmp_path / "Maildir")


@pytest.fixture
def start(deliver: Delivery, read_mailbox: Callable[..., MailboxLoop]) -> Callable[..., MailboxLoop]:
    """Starts to read it."""

    def start(*, limit: int = 1_000_000, **more: Any) -> MailboxLoop:
        settings = Settings(**{"path": deliver.path, **more}).model_copy(update={"poll": SOON})
        return read_mailbox(MaildirMailbox(settings, clock=lambda: time.time_ns() + LATER), limit=limit)

    return start


def test_reports_are_stored_and_moved_and_other_mail_is_left_as_it_is(
    deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    deliver(report_mail(1), private_mail(1), dmarc_report())
    deliver(report_mail(2), private_mail(2), folder="cur", flags=":2,S")
    deliver(report_mail(3), folder="cur", flags=":2,ST")  # somebody has deleted it
    start()
    eventually("all", lambda: len(deliver.bodies(".mailposture.processed")) == 3)
    assert spool.bodies == [report_mail(1), dmarc_report(), report_mail(2)]
    assert deliver.bodies(in_=("new",)) == [private_mail(1)]
    assert deliver.bodies(in_=("cur",)) == [private_mail(2), report_mail(3)]
    assert deliver.bodies(".mailposture.processed", in_=("new",)) == [report_mail(1), dmarc_report()]  # unread
    (moved,) = (deliver.path / ".mailposture.processed/cur").iterdir()
    assert moved.name.endswith(":2,S")
    envelope = spool.got[0][0]
    assert (envelope.source, envelope.source.is_mail, envelope.from_trusted_mailbox) == (Source.MAILDIR, True, False)


def test_new_mail_is_taken_and_what_stays_is_not_read_again(
    deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    deliver(private_mail(1), report_mail(1))
    with capture_logs() as said:
        first = start()
        eventually("the first", lambda: len(spool.got) == 1)
        deliver(report_mail(2))
        eventually("the second", lambda: len(spool.got) == 2)
        first.stop()
        deliver(report_mail(3))
        start()
        eventually("the third", lambda: len(spool.got) == 3)
    assert sum(line["mails"] for line in events(said, "without a report")) == 1


def test_delivery_is_when_the_name_or_the_file_says(
    deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    october = datetime(2020, 10, 1, tzinfo=UTC)
    deliver(report_mail(1), at=october.timestamp())  # copied since
    (name,) = deliver(report_mail(2))
    os.utime(deliver.path / "new" / name, (october.timestamp(),) * 2)  # brought by IMAP, which keeps its time
    start()
    eventually("both", lambda: len(spool.got) == 2)
    assert [envelope.delivered_at for envelope, _ in spool.got] == [october, october]


def test_what_came_this_very_moment_waits(deliver: Delivery) -> None:
    """Two mails of one moment have one time: neither may be passed over because the other was read."""
    session = MaildirSession(deliver.path, Settings(path=deliver.path), time.time_ns)
    now = time.time_ns()
    deliver(report_mail(1), report_mail(2))
    session._clock = lambda: now + 900_000_000
    assert list(session.mails("")) == []
    session._clock = lambda: time.time_ns() + LATER
    ((first, second),) = session.mails("")
    assert list(session.mails(first.position)) == [[second]]
    assert list(session.mails(second.position)) == []


def test_a_clock_that_was_set_back_makes_nothing_old(deliver: Delivery) -> None:
    session = MaildirSession(deliver.path, Settings(path=deliver.path), lambda: time.time_ns() + LATER)
    deliver(report_mail(1))
    ((mail,),) = session.mails("")
    future = f"{time.time_ns() + 10**15:020d}/{mail.key}"
    assert list(session.mails(future)) == [[mail]]


def test_a_mail_whose_flags_change_is_found_by_its_name(deliver: Delivery) -> None:
    session = MaildirSession(deliver.path, Settings(path=deliver.path), lambda: time.time_ns() + LATER)
    deliver(report_mail(1))
    ((mail,),) = session.mails("")
    (path,) = (deliver.path / "new").iterdir()
    path.rename(deliver.path / "cur" / f"{path.name}:2,S")
    (fetched,) = session.fetch([mail.key])
    assert fetched.body == report_mail(1)
    assert session.present([mail.key, "other"]) == {mail.key}
    session.move([mail.key], "tls")
    assert deliver.bodies(".mailposture.processed", in_=("cur",)) == [report_mail(1)]
    assert session.present([mail.key]) == set()
    (gone,) = session.fetch([mail.key])
    assert gone.body is None


def test_a_mail_is_never_moved_onto_another(deliver: Delivery, start: Callable[..., MailboxLoop]) -> None:
    (name,) = deliver(report_mail(1))
    start()
    eventually("it", lambda: deliver.bodies(".mailposture.processed") == [report_mail(1)])
    (deliver.path / "tmp" / name).write_bytes(report_mail(2))
    (deliver.path / "tmp" / name).rename(deliver.path / "new" / name)
    eventually("both", lambda: sorted(deliver.bodies(".mailposture.processed")) == [report_mail(1), report_mail(2)])


PACKED = {
    "gzip": partial(gzip.compress, mtime=0),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda mail: pa.compress(mail, codec="zstd", asbytes=True),
    "lz4": lambda mail: (
        DOVECOT_LZ4 + len(packed := lz4.block.compress(mail, store_size=False)).to_bytes(4, "big") + packed
    ),
}


@pytest.mark.parametrize("how", PACKED)
def test_mails_that_dovecot_has_compressed_are_read(
    deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop], how: str
) -> None:
    deliver(PACKED[how](report_mail(1)), PACKED[how](private_mail(1)))
    start()
    eventually("it", lambda: spool.bodies == [report_mail(1)])
    eventually("moved as it is", lambda: deliver.bodies(".mailposture.processed") == [PACKED[how](report_mail(1))])


def test_what_cannot_be_read_does_not_stop_the_others(
    deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop]
) -> None:
    deliver(gzip.compress(report_mail(1))[:-20], report_mail(2))
    (deliver.path / "new/link").symlink_to("/etc/passwd")
    (deliver.path / "new/folder").mkdir()
    os.mkfifo(deliver.path / "new/fifo")
    deliver(gzip.compress(bytes(2_000_000)), report_mail(3, more=b"x" * 2_000_000 + b"\r\n"), report_mail(4))
    with capture_logs() as said:
        start()
        eventually("the others", lambda: len(deliver.bodies(".mailposture.processed")) == 2)
        eventually("that it is said", lambda: events(said, "cannot be read"))
    assert spool.bodies == [report_mail(2), report_mail(4)]
    assert "damaged" in events(said, "cannot be read")[0]["reason"]


def test_a_folder_that_must_not_be_written_is_read_to_its_end(
    deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop], clock: Clock
) -> None:
    """Also for root, who may write everywhere: where the folder should be is a file."""
    deliver(*(report_mail(number) for number in range(120)))
    blocked = deliver.path / ".mailposture.processed"
    blocked.write_bytes(b"")
    with capture_logs() as said:
        start()
        eventually("all", lambda: len(spool.got) == 120)
        eventually("that it is said", lambda: events(said, "cannot be moved"))
        blocked.unlink()
        clock.turn(HOUR)
        eventually("moved", lambda: len(deliver.bodies(".mailposture.processed")) == 120)
    assert len(events(said, "cannot be moved")) == 1
    assert len(spool.got) == 120


def test_subfolders_and_kinds(deliver: Delivery, spool: RecordingSpool, start: Callable[..., MailboxLoop]) -> None:
    below = Delivery(deliver.path / ".lists.reports")
    below(report_mail(1), dmarc_report())
    start(folder="lists/reports", processed="done/{kind}")
    eventually("one", lambda: deliver.bodies(".done.tls") == [report_mail(1)])
    eventually("other", lambda: deliver.bodies(".done.dmarc") == [dmarc_report()])


def test_what_is_no_maildir_is_said(deliver: Delivery, start: Callable[..., MailboxLoop]) -> None:
    with capture_logs() as said:
        loop = start(folder="nowhere")
        eventually("that it is said", lambda: events(said, "cannot read a mailbox"))
        assert loop.health.errors["folder"] > 0
        Delivery(deliver.path / ".nowhere")
        eventually("up", lambda: loop.health.up)
    assert "is no Maildir" in events(said, "cannot read a mailbox")[0]["reason"]


@pytest.mark.slow
def test_dovecot_sees_reports_in_their_folder_and_the_rest_unread(
    dovecot: Any, spool: RecordingSpool, read_mailbox: Callable[..., MailboxLoop]
) -> None:
    dovecot.drop(report_mail(1), private_mail(1), report_mail(2))
    settings = Settings(path=dovecot.maildir).model_copy(update={"poll": SOON})
    read_mailbox(MaildirMailbox(settings, clock=lambda: time.time_ns() + LATER))
    eventually("both", lambda: len(dovecot.bodies("mailposture.processed")) == 2)
    assert dovecot.bodies("INBOX") == [private_mail(1)]
    dovecot.deliver(report_mail(3))
    eventually("what Dovecot delivers", lambda: len(dovecot.bodies("mailposture.processed")) == 3)
    with dovecot.client() as client:
        for folder in ("INBOX", "mailposture.processed"):
            client.select_folder(folder, readonly=True)
            assert client.search(["SEEN"]) == []
