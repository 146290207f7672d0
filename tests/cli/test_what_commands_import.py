"""Commands import only what they use: `--help` is there at once, and `summary` does not wait for what others need."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from cli.commands import COMMANDS
from cli.main import main

PRINT = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


@pytest.mark.parametrize(
    ("program", "unneeded"),
    [
        (
            "from click.testing import CliRunner; from cli.main import main; CliRunner().invoke(main, ['--help'])",
            "pydantic",
        ),
        ("import cli.summary", "dns"),
        ("import cli.summary", "pyarrow"),
        ("import cli.summary", "aiohttp"),
        ("import cli.policy_host", "clickhouse_connect"),
    ],
)
def test_what_is_not_needed_is_not_imported(program: str, unneeded: str) -> None:
    done = subprocess.run([sys.executable, "-c", program + PRINT], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "cli" in loaded
    assert unneeded not in loaded


def test_help_names_each_command_in_a_line() -> None:
    done = subprocess.run([sys.executable, "-m", "cli", "--help"], check=True, capture_output=True, text=True)
    listed = done.stdout.partition("Commands:\n")[2].splitlines()
    assert len(listed) == len(COMMANDS)
    assert max(map(len, listed)) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_there(name: str) -> None:
    with click.Context(main) as context:
        command = main.get_command(context, name)
    assert command is not None
    assert command.help
