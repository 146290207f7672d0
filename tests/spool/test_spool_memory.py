"""What the spool has written, it does not keep in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path as Folder

MEASURED = """
import os, sys, threading
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, "tests")
from memory import forget_peak, peak
from collector.spool import Spool
from collector.spool.database import SpoolFile
from reports.envelope import Envelope, Source

folder, large = Path(sys.argv[1]), b"x" * (20 << 20)
spool = Spool(folder, keep_free=0)
envelope = Envelope(source=Source.SMTP, received_at=datetime.now(UTC))
other = SpoolFile(folder, durability="OFF")
spool.put(envelope, b"small")
forget_peak(os.getpid())
before = peak(os.getpid())
for number in range(2, 22):
    with other.writing():  # meanwhile messages wait, and then they are written together
        bodies = [b"small"] * number + [large]
        threads = [threading.Thread(target=spool.put, args=(envelope, body)) for body in bodies]
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
forget_peak(os.getpid())
print((peak(os.getpid()) - before) >> 20)
spool.close()
"""
WRITTEN = 20 * 20  # MiB in large messages; glibc itself keeps up to 40 of it (M_TRIM_THRESHOLD, mallopt(3))


@pytest.mark.slow
def test_what_was_written_is_not_kept_whatever_groups_it_was_written_in(tmp_path: Folder) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < WRITTEN // 2
