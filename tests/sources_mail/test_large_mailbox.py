"""A mailbox of ten years: read in order, in little memory, and from where it was left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from sources_mail.odd_imap import OddImap
from sources_mail.reading import RecordingSpool, private_mail, report_mail

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.sources.mailbox.loop import MailboxLoop

MEASURED = """
import json, os, sys, threading
from pathlib import Path
sys.path.insert(0, "tests")
from memory import peak
from sources_mail.reading import RecordingSpool
from collector.sources.mailbox import loop
from collector.sources.mailbox.imap import ImapMailbox
from collector.sources.mailbox.remembered import Remembered
from collector.sources.memory import BodyMemory
from mailposture.config.mailboxes import ImapMailbox as Settings

folder, port, most = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
looked, interrupt, recognize, spool = [], threading.Event(), loop.report_in, RecordingSpool()

def counting(body):
    looked.append(int(body.partition(b"Subject: ")[2].split()[1]))
    if len(looked) in (most // 3, most):
        interrupt.set()
    return recognize(body)

loop.report_in = counting
password = folder / "password"
settings = Settings(host="localhost", port=port, tls=False, user="reports", password_file=password)
mailbox = ImapMailbox(settings, folder=folder)
before, at = peak(os.getpid()), []
for _ in range(2):
    interrupt.clear()
    remembered = Remembered(folder, mailbox.name, kinds=("tls",))
    reader = loop.MailboxLoop(mailbox, spool=spool, memory=BodyMemory(largest=1 << 20), remembered=remembered)
    reader.start()
    assert interrupt.wait(600)
    reader.stop()
    at.append(len(looked))
print(json.dumps({"looked": looked, "reports": len(spool.got), "at": at, "mib": (peak(os.getpid()) - before) >> 20}))
"""


@pytest.mark.slow
def test_ten_thousand_mails_are_read_in_order_in_little_memory_and_from_where_it_was_left(
    dovecot: Any, tmp_path: Path
) -> None:
    most = 10_000  # 50,000 take two minutes, most of it to make and delete them
    dovecot.drop(*(private_mail(number) if number % 100 else report_mail(number) for number in range(most)))
    (tmp_path / "password").write_text("correct-horse\n")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(dovecot.plain_port), str(most)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["reports"] == most // 100
    left_at, end = found["at"]
    assert found["looked"] == list(range(most))
    assert most / 3 <= left_at < most * 2 / 3
    assert end == most
    assert found["mib"] < 40


@pytest.mark.slow
def test_more_mails_than_one_answer_can_name_are_asked_for_in_ranges(
    read: Callable[..., MailboxLoop], spool: RecordingSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.sources.mailbox.imap._SEARCHED_AT_ONCE", 7)
    with OddImap(*(report_mail(number) for number in range(1, 31))).serving() as odd:
        for uid in (6, 8, 9, 10, 11, 12, 13, 14, 15, 29):  # gaps, one as large as a range
            del odd.mails[uid]
        odd.mails[100] = report_mail(100)
        odd.next_uid = 101
        expected = [odd.mails[uid] for uid in sorted(odd.mails)]
        read(odd)
        eventually("all", lambda: len(spool.got) == len(expected))
        with odd.lock:
            odd.mails[101] = report_mail(101)
        eventually("what comes later", lambda: len(spool.got) == len(expected) + 1)
    assert spool.bodies == [*expected, report_mail(101)]
