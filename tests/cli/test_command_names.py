"""The names of commands, as hurried people type them."""

from __future__ import annotations

from click.testing import CliRunner

from cli.main import main


def test_a_command_that_is_misspelt_is_answered_with_the_near_one() -> None:
    done = CliRunner().invoke(main, ["sumary"])
    assert done.exit_code == 2
    assert "No such command 'sumary'. Did you mean 'summary'?" in done.output


def test_a_command_like_no_other_is_just_unknown() -> None:
    done = CliRunner().invoke(main, ["zzz"])
    assert done.exit_code == 2
    assert "No such command 'zzz'." in done.output
    assert "Did you mean" not in done.output
