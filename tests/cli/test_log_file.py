"""The log of `run` is bounded, and no process has to know."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from mailposture.log_file import LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mailposture.log"


def test_a_log_begins_again_and_older_ones_are_kept_for_a_while(path: Path) -> None:
    log = LogFile(path, most=100, kept=2)
    with path.open("ab", buffering=0) as process:
        for number in range(5):
            log.keep_small()
            process.write(b"%d" % number * 101)
    assert path.read_bytes() == b"4" * 101
    assert {each.name: each.read_bytes()[:1] for each in path.parent.iterdir()} == {
        "mailposture.log": b"4",
        "mailposture.log.1": b"3",
        "mailposture.log.2": b"2",
    }


def test_a_log_within_its_size_stays_as_it_is(path: Path) -> None:
    log = LogFile(path, most=100)
    log.keep_small()
    path.write_bytes(b"x" * 100)
    log.keep_small()
    assert [each.name for each in path.parent.iterdir()] == ["mailposture.log"]


@pytest.mark.parametrize("to", ["a full disk", "a pipe that nobody reads"])
def test_a_log_that_cannot_be_written_stops_nothing(to: str) -> None:
    code = (
        "import structlog; from mailposture import logs; logs.set_up('collector'); log = structlog.get_logger()\n"
        "for number in range(3): log.error('lost', number=number)\n"
        "print('goes on')"
    )
    with Path("/dev/full").open("wb") if to == "a full disk" else _unread() as stream:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stream, check=True)
    assert done.stdout == b"goes on\n"


def test_a_line_is_written_at_once_for_others_write_into_the_same_file() -> None:
    reading, writing = os.pipe2(os.O_DIRECT)  # what is written at once is read at once
    code = "import structlog; from mailposture import logs; logs.set_up('x'); structlog.get_logger().error('one')"
    subprocess.run([sys.executable, "-c", code], stderr=writing, check=True)
    os.close(writing)
    assert json.loads(os.read(reading, 4096))["event"] == "one"
    assert os.read(reading, 4096) == b""
    os.close(reading)


def _unread() -> IO[bytes]:
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "wb")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("to", "own"),
    [
        ("2>file", True),
        ("2>>file", True),
        ("2>/dev/null", False),
        ("2>&1 | cat", False),
    ],
)
def test_only_where_nobody_else_bounds_it_run_has_a_log_of_its_own(tmp_path: Path, to: str, own: bool) -> None:
    code = "import sys; from cli.run import _nobody_bounds; print(_nobody_bounds(sys.stderr))"
    done = subprocess.run(
        f"{sys.executable} -c '{code}' {to}",
        shell=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(own)]
