"""The commands in runbooks and alerts work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from cli.main import main

if TYPE_CHECKING:
    from conftest import Rule
    from engine import Storage

_SQL = re.compile(r'mailposture sql (?:--format \w+ )?"([^"]+)"')
_COMMAND = re.compile(r"^mailposture ([a-z-]+)(?: ([a-z]+(?:-[a-z]+)*)\b)?", re.MULTILINE)


def commands(rule: Rule) -> str:
    """Everything in the runbook and the alert that is to be typed, one command per line."""
    said = rule.runbook + rule.annotations["description"].replace("{{ $labels.reason }}", "REASON")
    blocks = re.findall(r"```sh\n(.*?)```", said, re.DOTALL)
    inline = re.findall(r"(?<!`)`([^`\n][^`]*)`(?!`)", said)
    return "\n".join(blocks + [" ".join(command.split()) for command in inline])


def test_every_subcommand_exists(rule: Rule) -> None:
    context = click.Context(main)
    for name, second in _COMMAND.findall(commands(rule)):
        command = main.get_command(context, name)
        assert command is not None, f"there is no mailposture {name}"
        if isinstance(command, click.Group):
            assert second in command.commands


def test_who_runs_no_compose_stack_finds_a_command_too(rule: Rule) -> None:
    """`mailposture` alone is for everybody: docs/operations.md says how to run it where."""
    for block in re.findall(r"```sh\n(.*?)```", rule.runbook, re.DOTALL):
        lines = block.splitlines()
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            if "docker compose" in line:
                assert line.endswith("# Compose"), line
                assert following.endswith("# mailposture run"), following
    for command in re.finditer(r"(Compose: )?(?<!`)`docker\s+compose [^`]+`(; else `)?", rule.runbook):
        assert command[1], f"who runs no Compose stack does what instead of {command[0]}?"
        assert command[2], f"who runs no Compose stack does what instead of {command[0]}?"


@pytest.mark.slow
def test_every_query_is_answered_to_an_analyst(storage: Storage, rule: Rule) -> None:
    for query in _SQL.findall(commands(rule)):
        storage.ask(query, role="analyst")


def test_queries_are_found_at_all() -> None:
    runbooks = Path(__file__).parents[2] / "alerting-rules" / "runbooks"
    assert sum(len(_SQL.findall(path.read_text())) for path in runbooks.glob("*.md")) > 10
