"""Where the output goes is the caller's choice: full, closed, narrow, ASCII. No choice of theirs is a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `mailposture` is ours."""
    ours = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    ours.pop("MAILPOSTURE_CONFIG", None)
    command = f'mailposture() {{ "{sys.executable}" -m cli "$@"; }}; set -o pipefail; {script}'
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=ours, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["explain", "explain timeout", "records"])
def test_full_disk_under_the_output_is_named(tmp_path: Path, command: str) -> None:
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    done = shell(f"mailposture {command} > /dev/full", tmp_path)
    assert done.stderr == "mailposture: No space left on device; fix that and run the command again\n"
    assert done.returncode == 1


def test_folder_that_went_away_under_the_command_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    done = shell("mkdir gone && cd gone && rmdir ../gone && mailposture records --config ../mailposture.yaml", tmp_path)
    assert done.stderr.startswith("mailposture: No such file or directory")
    assert done.returncode == 1


def test_reader_that_has_seen_enough_ends_the_command_in_silence(tmp_path: Path) -> None:
    done = shell("mailposture explain | read first; mailposture explain | head -1", tmp_path)
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_none_of_our_files(tmp_path: Path, closed: str) -> None:
    done = shell(f"mailposture init . --domain example.com {closed}", tmp_path)
    assert done.returncode == 0
    assert not done.stderr
    assert "Wrote" not in (tmp_path / "mailposture.yaml").read_text(encoding="utf-8")


def test_query_from_closed_input_is_empty(tmp_path: Path) -> None:
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    done = shell("mailposture sql <&-", tmp_path)
    assert done.returncode == 2
    assert "the query is empty" in done.stderr


def test_terminal_without_our_characters_gets_question_marks(tmp_path: Path) -> None:
    done = shell("mailposture explain timeout", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "timeout ? category timeout ? warning" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["0", "1", "x"])
def test_width_that_no_terminal_has_leaves_words_readable(tmp_path: Path, columns: str) -> None:
    done = shell("mailposture explain timeout", tmp_path, COLUMNS=columns)
    assert done.returncode == 0
    assert "What it means" in done.stdout.splitlines()
