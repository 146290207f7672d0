"""`mailposture import` before it reads anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("paths", [("",), ("reports.zip", "")])
def test_an_empty_path_is_wrong_usage_and_not_the_working_folder(tmp_path: Path, paths: tuple[str, ...]) -> None:
    """`mailposture import "$REPORTS"` without the variable would read all that lies here."""
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    done = CliRunner().invoke(main, ["import", "--config", str(tmp_path / "mailposture.yaml"), *paths])
    assert done.exit_code == 2
    assert "an empty path names nothing" in done.output
    assert not (tmp_path / "data").exists()
