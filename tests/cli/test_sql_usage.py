"""`mailposture sql` before it asks anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import ProtocolError

from cli.main import main
from cli.sql import _run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("arguments", "given"), [((" ; ",), ""), ((), ""), ((), "\n")])
def test_an_empty_query_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...], given: str) -> None:
    """A script whose variable is empty gets an error, and no engine is started for it."""
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    done = CliRunner().invoke(main, ["sql", "--config", str(tmp_path / "mailposture.yaml"), *arguments], input=given)
    assert done.exit_code == 2
    assert "the query is empty" in done.output
    assert not (tmp_path / "data").exists()


def test_a_query_in_another_encoding_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    command = ["sql", "--config", str(tmp_path / "mailposture.yaml")]
    for done in (
        CliRunner().invoke(main, [*command, os.fsdecode(b"SELECT '\xfc'")]),
        CliRunner().invoke(main, command, input=b"SELECT '\xfc'"),
    ):
        assert done.exit_code == 2
        assert "the query is not UTF-8 text (byte 8)" in done.output


def test_an_answer_that_breaks_off_is_the_databases_fault() -> None:
    """So that database() says where it is and what to do, as for every fault that is not the query's."""

    class Gone:
        headers: ClassVar[dict[str, str]] = {}

        def raw_stream(self, *_: object, **__: object) -> Gone:
            return self

        def read(self, _: int = -1) -> bytes:
            raise ProtocolError("connection closed")

    with pytest.raises(ClickHouseError, match="the answer broke off: connection closed"):
        _run(Gone(), "SELECT 1", "CSV")  # type: ignore[arg-type]
