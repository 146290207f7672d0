"""A mailbox on a real Dovecot: what is moved is in the spool, and what is in the spool is moved."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from imapclient.exceptions import IMAPClientError
from sources_mail.reading import report_mail
from structlog.testing import capture_logs

from collector.sources.memory import BodyMemory
from collector.spool import Spool, SpoolQueue
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sources_mail.reading import RecordingSpool

    from collector.sources.mailbox.loop import MailboxLoop

pytestmark = pytest.mark.slow
PROCESSED = "mailposture.processed"  # Dovecot's separator on a maildir


def _eventually(claim: Callable[[], bool]) -> None:
    eventually("it happens", lambda: _holds(claim))


def _tries(said: Sequence[Mapping[str, Any]]) -> int:
    """How often it could not read the mailbox, by its log."""
    return sum(each["event"] == "cannot read a mailbox; trying again" for each in said)


def _holds(claim: Callable[[], bool]) -> bool:
    try:
        return claim()
    except (OSError, IMAPClientError):
        return False  # the server restarts just now


def test_mails_reach_the_spool_and_then_the_processed_folder(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    mails = [report_mail(number) for number in range(250)]  # more than one group
    dovecot.deliver(*mails)
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 250)
    assert spool.bodies == mails
    assert dovecot.bodies("INBOX") == []
    envelope = spool.got[0][0]
    assert (envelope.source, envelope.by_operator) == (Source.IMAP, False)
    assert envelope.name == f"reports at localhost:{dovecot.tls_port}, INBOX UID 1"


def test_time_of_delivery_is_that_of_the_mailbox(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    """A mailbox that is read for the first time holds mail of months, whose signatures have expired since."""
    delivered = datetime(2026, 10, 25, 1, 30, tzinfo=timezone(timedelta(hours=-7)))
    dovecot.deliver(report_mail(1), at=delivered)
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 1)
    envelope = spool.got[0][0]
    assert envelope.delivered_at == envelope.accepted_at == delivered
    assert envelope.delivered_at.utcoffset() == timedelta()
    assert envelope.received_at > delivered


def test_new_mail_is_read_at_once_by_idle(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(report_mail(1))
    read(dovecot, poll=timedelta(hours=1))
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 1)
    dovecot.deliver(report_mail(2))
    _eventually(lambda: spool.bodies == [report_mail(1), report_mail(2)])


def test_server_without_idle_move_and_uidplus_is_polled(
    new_dovecot: Callable[[str], Any], spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    server = new_dovecot("protocol imap {\n  imap_capability = IMAP4rev1 SASL-IR\n}")
    server.deliver(report_mail(1))
    read(server, poll=timedelta(seconds=1), processed=PROCESSED)
    _eventually(lambda: server.bodies(PROCESSED) == [report_mail(1)])
    server.deliver(report_mail(2))
    _eventually(lambda: server.bodies(PROCESSED) == [report_mail(1), report_mail(2)])
    server.deliver(report_mail(3))  # which only a further poll finds, and it finds nothing else
    _eventually(lambda: server.bodies(PROCESSED) == [report_mail(1), report_mail(2), report_mail(3)])
    assert spool.bodies == [report_mail(1), report_mail(2), report_mail(3)]
    assert server.bodies("INBOX") == []


def test_folders_below_a_namespace_prefix_are_found(
    new_dovecot: Callable[[str], Any], spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    server = new_dovecot("namespace inbox {\n  inbox = yes\n  prefix = INBOX.\n  separator = .\n}")
    with server.client() as client:
        client.create_folder("INBOX.tls.reports")
    server.deliver(report_mail(1), folder="INBOX.tls.reports")
    read(server, folder="tls/reports")
    _eventually(lambda: server.bodies("INBOX.mailposture.processed") == [report_mail(1)])


def test_trusted_mailbox_is_marked(dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]) -> None:
    dovecot.deliver(report_mail(1))
    read(dovecot, trusted=True)
    _eventually(lambda: len(spool.got) == 1)
    assert spool.got[0][0].from_trusted_mailbox


def test_plain_connection_works_where_configured(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(report_mail(1))
    read(dovecot, tls=False, port=dovecot.plain_port)
    _eventually(lambda: spool.bodies == [report_mail(1)])


def test_certificate_of_an_unknown_authority_is_refused(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop], capfd: pytest.CaptureFixture[str]
) -> None:
    dovecot.deliver(report_mail(1))
    read(dovecot, certificate_authority=None)
    seen = ""

    def reported() -> bool:
        nonlocal seen
        seen += "".join(capfd.readouterr())
        return "is not trusted" in seen

    _eventually(reported)
    assert spool.got == []


def test_too_large_mail_stays_and_holds_nothing_up(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    large = report_mail(2, more=b"x" * 5000 + b"\r\n")
    dovecot.deliver(report_mail(1), large, report_mail(3))
    read(dovecot, limit=2000)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 2)
    assert spool.bodies == [report_mail(1), report_mail(3)]
    assert dovecot.bodies("INBOX") == [large]


def test_large_mail_is_fetched_piece_by_piece(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.mailbox.loop._GROUP_BYTES", 1000)
    monkeypatch.setattr("collector.sources.mailbox.imap._PIECE", 777)
    large = report_mail(2, more=b"0123456789\r\n" * 500)
    exact = report_mail(3)
    exact += b"x" * (2 * 777 - len(exact) - 2) + b"\r\n"  # the last piece ends with the mail
    dovecot.deliver(report_mail(1), large, exact, report_mail(4))
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 4)
    assert spool.bodies == [report_mail(1), large, exact, report_mail(4)]


def test_mailboxes_wait_for_room_in_memory(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    memory = BodyMemory(largest=1000, large_bytes=0)
    assert memory.take(1000 + 32 * 2**20, small=True)  # by others, all of it
    dovecot.deliver(report_mail(1))
    source = read(dovecot, memory=memory)
    memory.give_back(1000 + 32 * 2**20)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 1)
    assert memory.take(1000, small=False)
    source.stop()


def test_nothing_moves_while_the_spool_is_full(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    spool.full = True
    dovecot.deliver(report_mail(1))
    read(dovecot)
    _eventually(lambda: spool.refused == 2)  # all that follows the first refusal has happened
    assert dovecot.bodies("INBOX") == [report_mail(1)]
    spool.full = False
    _eventually(lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])


def test_server_that_restarts_is_read_again(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(report_mail(1))
    read(dovecot)
    _eventually(lambda: len(spool.got) == 1)
    with capture_logs() as said:
        dovecot.stop()
        _eventually(lambda: _tries(said) > 0)
    dovecot.start()
    dovecot.deliver(report_mail(2))
    _eventually(lambda: dovecot.bodies(PROCESSED) == [report_mail(1), report_mail(2)])
    assert spool.bodies == [report_mail(1), report_mail(2)]


def test_connection_lost_between_spool_and_move_puts_no_mail_twice(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    def fail_once() -> None:
        spool.before_return = lambda: None
        dovecot.stop()
        dovecot.start()

    spool.before_return = fail_once
    dovecot.deliver(report_mail(1), report_mail(2))
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 2)
    assert sorted(spool.bodies) == [report_mail(1), report_mail(2)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_mail_spooled_but_not_moved_when_we_were_killed_comes_again(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    class KilledError(BaseException):
        pass

    def die() -> None:
        raise KilledError

    spool.before_return = die
    dovecot.deliver(report_mail(1))
    first = read(dovecot)
    _eventually(lambda: not first._thread.is_alive())
    assert dovecot.bodies("INBOX") == [report_mail(1)]
    spool.before_return = lambda: None
    read(dovecot)
    _eventually(lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])
    assert spool.bodies == [report_mail(1), report_mail(1)]  # the report in it counts once, by its key


def test_wrong_password_is_tried_again_with_the_new_one(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop], tmp_path: Path
) -> None:
    dovecot.deliver(report_mail(1))
    (tmp_path / "rotated").write_text("old one")
    with capture_logs() as said:
        read(dovecot, password_file=tmp_path / "rotated")
        _eventually(lambda: _tries(said) == 2)
    assert spool.got == []
    (tmp_path / "rotated").write_text("correct-horse")
    _eventually(lambda: spool.bodies == [report_mail(1)])


def test_stop_ends_the_wait_forreport_mail(dovecot: Any, read: Callable[..., MailboxLoop]) -> None:
    dovecot.deliver(report_mail(1))
    source = read(dovecot, poll=timedelta(hours=1))
    _eventually(lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])  # from then on it waits
    source.stop()
    assert not source._thread.is_alive()


def test_stop_ends_the_wait_for_a_server_that_is_away(dovecot: Any, read: Callable[..., MailboxLoop]) -> None:
    dovecot.stop()
    with capture_logs() as said:
        source = read(dovecot)
        _eventually(lambda: _tries(said) > 0)
    source.stop()
    assert not source._thread.is_alive()


def test_real_spool_holds_what_was_moved(dovecot: Any, read: Callable[..., MailboxLoop], tmp_path: Path) -> None:
    dovecot.deliver(report_mail(1))
    with closing(Spool(tmp_path / "spool", keep_free=0)) as spool, closing(SpoolQueue(tmp_path / "spool")) as queue:
        source = read(dovecot, into=spool)
        _eventually(lambda: dovecot.bodies(PROCESSED) == [report_mail(1)])
        source.stop()
        assert queue.stats().depth == 1


MEASURED = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, "tests")
from memory import peak
from collector.documents.limits import LIMITS
from collector.sources.mailbox.imap import ImapMailbox
from collector.sources.mailbox.loop import MailboxLoop
from collector.sources.mailbox.remembered import Remembered
from collector.sources.memory import BodyMemory
from collector.spool import Spool, SpoolQueue
from mailposture.config.mailboxes import ImapMailbox as Settings

folder = Path(sys.argv[1])
mailbox = ImapMailbox(Settings(
    host="localhost", port=int(sys.argv[2]), tls=False, user="reports", password_file=folder / "password"
), folder=folder)
spool, queue = Spool(folder / "spool", keep_free=0), SpoolQueue(folder / "spool")
before = peak(os.getpid())
source = MailboxLoop(
    mailbox,
    spool=spool,
    memory=BodyMemory(largest=LIMITS.message_bytes),
    remembered=Remembered(folder, mailbox.name, kinds=("tls",)),
)
source.start()
while queue.stats().depth < 3:
    time.sleep(0.05)
print((peak(os.getpid()) - before) >> 20)
"""


@pytest.mark.slow
def test_the_largest_mails_take_bounded_memory(dovecot: Any, tmp_path: Path) -> None:
    """One at a time: once as it is fetched, and twice more while SQLite writes it."""
    large = report_mail(1, more=b"0123456789" * 6_500_000 + b"\r\n")
    dovecot.deliver(large, large, large)
    (tmp_path / "password").write_text("correct-horse\n")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(dovecot.plain_port)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 250
