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
from structlog.testing import capture_logs

from collector.sources.imap import ImapSource
from collector.sources.memory import BodyMemory
from collector.spool import Spool, SpoolFullError, SpoolQueue
from mailposture.config.model import ImapMailbox
from mailposture.problems import ProblemError
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

pytestmark = pytest.mark.slow
PROCESSED = "mailposture.processed"  # Dovecot's separator on a maildir


def _mail(number: int) -> bytes:
    return b"From: a@example.net\r\nSubject: report %d\r\n\r\nbody\r\n" % number


class RecordingSpool:
    """Remembers what it got, and fails when told to."""

    def __init__(self) -> None:
        self.got: list[tuple[Envelope, bytes]] = []
        self.full = False
        self.refused = 0
        self.before_return: Callable[[], None] = lambda: None

    def put(self, envelope: Envelope, body: bytes) -> int:
        if self.full:
            self.refused += 1
            raise SpoolFullError("no room")
        self.got.append((envelope, body))
        self.before_return()
        return len(self.got)

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body in self.got]


@pytest.fixture
def spool() -> RecordingSpool:
    return RecordingSpool()


@pytest.fixture
def read(tmp_path: Path, spool: RecordingSpool) -> Iterator[Callable[..., ImapSource]]:
    """Starts a source on a server."""
    sources = []

    def start(
        server: Any, *, limit: int = 1_000_000, into: Any = spool, memory: BodyMemory | None = None, **more: Any
    ) -> ImapSource:
        memory = memory or BodyMemory(largest=limit)
        (tmp_path / "password").write_text("correct-horse\n")
        settings: dict[str, Any] = {
            "host": "localhost",
            "port": server.tls_port,
            "certificate_authority": server.authority.certificate,
            "user": "reports",
            "password_file": tmp_path / "password",
            "poll": timedelta(seconds=60),
        }
        source = ImapSource(ImapMailbox(**{**settings, **more}), spool=into, memory=memory, limit=limit)
        source.start()
        sources.append(source)
        return source

    yield start
    for source in sources:
        source.stop()


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
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    mails = [_mail(number) for number in range(250)]  # more than one group
    dovecot.deliver(*mails)
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 250)
    assert spool.bodies == mails
    assert dovecot.bodies("INBOX") == []
    envelope = spool.got[0][0]
    assert (envelope.source, envelope.vouched) == (Source.IMAP, False)
    assert envelope.name == "reports at localhost, INBOX UID 1"


def test_time_of_delivery_is_that_of_the_mailbox(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    """A mailbox that is read for the first time holds mail of months, whose signatures have expired since."""
    delivered = datetime(2026, 10, 25, 1, 30, tzinfo=timezone(timedelta(hours=-7)))
    dovecot.deliver(_mail(1), at=delivered)
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 1)
    envelope = spool.got[0][0]
    assert envelope.delivered_at == envelope.accepted_at == delivered
    assert envelope.delivered_at.utcoffset() == timedelta()
    assert envelope.received_at > delivered


def test_new_mail_is_read_at_once_by_idle(dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]) -> None:
    dovecot.deliver(_mail(1))
    read(dovecot, poll=timedelta(hours=1))
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 1)
    dovecot.deliver(_mail(2))
    _eventually(lambda: spool.bodies == [_mail(1), _mail(2)])


def test_server_without_idle_move_and_uidplus_is_polled(
    new_dovecot: Callable[[str], Any], spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    server = new_dovecot("protocol imap {\n  imap_capability = IMAP4rev1 SASL-IR\n}")
    server.deliver(_mail(1))
    read(server, poll=timedelta(seconds=1), processed=PROCESSED)
    _eventually(lambda: server.bodies(PROCESSED) == [_mail(1)])
    server.deliver(_mail(2))
    _eventually(lambda: server.bodies(PROCESSED) == [_mail(1), _mail(2)])
    server.deliver(_mail(3))  # which only a further poll finds, and it finds nothing else
    _eventually(lambda: server.bodies(PROCESSED) == [_mail(1), _mail(2), _mail(3)])
    assert spool.bodies == [_mail(1), _mail(2), _mail(3)]
    assert server.bodies("INBOX") == []


def test_folders_below_a_namespace_prefix_are_found(
    new_dovecot: Callable[[str], Any], spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    server = new_dovecot("namespace inbox {\n  inbox = yes\n  prefix = INBOX.\n  separator = .\n}")
    with server.client() as client:
        client.create_folder("INBOX.tls.reports")
    server.deliver(_mail(1), folder="INBOX.tls.reports")
    read(server, folder="tls/reports")
    _eventually(lambda: server.bodies("INBOX.mailposture.processed") == [_mail(1)])


def test_trusted_mailbox_vouches(dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]) -> None:
    dovecot.deliver(_mail(1))
    read(dovecot, trusted=True)
    _eventually(lambda: len(spool.got) == 1)
    assert spool.got[0][0].from_trusted_mailbox


def test_plain_connection_works_where_configured(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    dovecot.deliver(_mail(1))
    read(dovecot, tls=False, port=dovecot.plain_port)
    _eventually(lambda: spool.bodies == [_mail(1)])


def test_certificate_of_an_unknown_authority_is_refused(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource], capfd: pytest.CaptureFixture[str]
) -> None:
    dovecot.deliver(_mail(1))
    read(dovecot, certificate_authority=None)
    seen = ""

    def told() -> bool:
        nonlocal seen
        seen += "".join(capfd.readouterr())
        return "certificate verify failed" in seen

    _eventually(told)
    assert spool.got == []


def test_too_large_mail_stays_and_holds_nothing_up(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    large = _mail(2) + b"x" * 5000 + b"\r\n"
    dovecot.deliver(_mail(1), large, _mail(3))
    read(dovecot, limit=2000)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 2)
    assert spool.bodies == [_mail(1), _mail(3)]
    assert dovecot.bodies("INBOX") == [large]


def test_large_mail_is_fetched_piece_by_piece(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.imap._GROUP_BYTES", 1000)
    monkeypatch.setattr("collector.sources.imap._PIECE", 777)
    large = _mail(2) + b"0123456789\r\n" * 500
    exact = _mail(3)
    exact += b"x" * (2 * 777 - len(exact) - 2) + b"\r\n"  # the last piece ends with the mail
    dovecot.deliver(_mail(1), large, exact, _mail(4))
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 4)
    assert spool.bodies == [_mail(1), large, exact, _mail(4)]


def test_mailboxes_wait_for_room_in_memory(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    memory = BodyMemory(largest=1000, large_bytes=0)
    assert memory.take(1000 + 32 * 2**20, small=True)  # by others, all of it
    dovecot.deliver(_mail(1))
    source = read(dovecot, memory=memory)
    memory.give_back(1000 + 32 * 2**20)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 1)
    assert memory.take(1000, small=False)
    source.stop()


def test_nothing_moves_while_the_spool_is_full(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    spool.full = True
    dovecot.deliver(_mail(1))
    read(dovecot)
    _eventually(lambda: spool.refused == 2)  # all that follows the first refusal has happened
    assert dovecot.bodies("INBOX") == [_mail(1)]
    spool.full = False
    _eventually(lambda: dovecot.bodies(PROCESSED) == [_mail(1)])


def test_server_that_restarts_is_read_again(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    dovecot.deliver(_mail(1))
    read(dovecot)
    _eventually(lambda: len(spool.got) == 1)
    with capture_logs() as said:
        dovecot.stop()
        _eventually(lambda: _tries(said) > 0)
    dovecot.start()
    dovecot.deliver(_mail(2))
    _eventually(lambda: dovecot.bodies(PROCESSED) == [_mail(1), _mail(2)])
    assert spool.bodies == [_mail(1), _mail(2)]


def test_connection_lost_between_spool_and_move_puts_no_mail_twice(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    def fail_once() -> None:
        spool.before_return = lambda: None
        dovecot.stop()
        dovecot.start()

    spool.before_return = fail_once
    dovecot.deliver(_mail(1), _mail(2))
    read(dovecot)
    _eventually(lambda: len(dovecot.bodies(PROCESSED)) == 2)
    assert sorted(spool.bodies) == [_mail(1), _mail(2)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_mail_spooled_but_not_moved_when_we_were_killed_comes_again(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource]
) -> None:
    class KilledError(BaseException):
        pass

    def die() -> None:
        raise KilledError

    spool.before_return = die
    dovecot.deliver(_mail(1))
    first = read(dovecot)
    _eventually(lambda: not first._thread.is_alive())
    assert dovecot.bodies("INBOX") == [_mail(1)]
    spool.before_return = lambda: None
    read(dovecot)
    _eventually(lambda: dovecot.bodies(PROCESSED) == [_mail(1)])
    assert spool.bodies == [_mail(1), _mail(1)]  # the report in it counts once, by its key


def test_wrong_password_is_tried_again_with_the_new_one(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., ImapSource], tmp_path: Path
) -> None:
    dovecot.deliver(_mail(1))
    (tmp_path / "rotated").write_text("old one")
    with capture_logs() as said:
        read(dovecot, password_file=tmp_path / "rotated")
        _eventually(lambda: _tries(said) == 2)
    assert spool.got == []
    (tmp_path / "rotated").write_text("correct-horse")
    _eventually(lambda: spool.bodies == [_mail(1)])


def test_stop_ends_the_wait_for_mail(dovecot: Any, read: Callable[..., ImapSource]) -> None:
    dovecot.deliver(_mail(1))
    source = read(dovecot, poll=timedelta(hours=1))
    _eventually(lambda: dovecot.bodies(PROCESSED) == [_mail(1)])  # from then on it waits
    source.stop()
    assert not source._thread.is_alive()


def test_stop_ends_the_wait_for_a_server_that_is_away(dovecot: Any, read: Callable[..., ImapSource]) -> None:
    dovecot.stop()
    with capture_logs() as said:
        source = read(dovecot)
        _eventually(lambda: _tries(said) > 0)
    source.stop()
    assert not source._thread.is_alive()


def test_real_spool_holds_what_was_moved(dovecot: Any, read: Callable[..., ImapSource], tmp_path: Path) -> None:
    dovecot.deliver(_mail(1))
    with closing(Spool(tmp_path / "spool", keep_free=0)) as spool, closing(SpoolQueue(tmp_path / "spool")) as queue:
        source = read(dovecot, into=spool)
        _eventually(lambda: dovecot.bodies(PROCESSED) == [_mail(1)])
        source.stop()
        assert queue.stats().depth == 1


def test_mailbox_that_moves_mails_onto_themselves_is_refused(tmp_path: Path, spool: Any) -> None:
    mailbox = ImapMailbox(host="h", user="u", password_file=tmp_path / "p", folder="A", processed="A")
    with pytest.raises(ProblemError, match="name another folder"):
        ImapSource(mailbox, spool=spool, memory=BodyMemory(largest=0))


MEASURED = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, "tests")
from memory import peak
from collector.documents.limits import LIMITS
from collector.sources.imap import ImapSource
from collector.sources.memory import BodyMemory
from collector.spool import Spool, SpoolQueue
from mailposture.config.model import ImapMailbox

folder = Path(sys.argv[1])
mailbox = ImapMailbox(
    host="localhost", port=int(sys.argv[2]), tls=False, user="reports", password_file=folder / "password"
)
spool, queue = Spool(folder / "spool", keep_free=0), SpoolQueue(folder / "spool")
before = peak(os.getpid())
source = ImapSource(mailbox, spool=spool, memory=BodyMemory(largest=LIMITS.message_bytes))
source.start()
while queue.stats().depth < 3:
    time.sleep(0.05)
print((peak(os.getpid()) - before) >> 20)
"""


@pytest.mark.slow
def test_the_largest_mails_take_bounded_memory(dovecot: Any, tmp_path: Path) -> None:
    """One at a time: once as it is fetched, and twice more while SQLite writes it."""
    large = _mail(1) + b"0123456789" * 6_500_000 + b"\r\n"
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
