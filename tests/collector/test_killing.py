"""The promise of the spool, kept under random SIGKILLs: the short version of bench/kill.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_and_nothing_counts_twice_when_everything_is_killed():
    command = [sys.executable, "-m", "bench.kill", "--kills", "12", "--away", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost, nothing twice" in done.stdout
