"""`mailposture acknowledge`, as its users type it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner
from clock import REAL_TODAY

from cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

UNTIL = (REAL_TODAY + timedelta(days=30)).isoformat()
WHY = ("--until", UNTIL, "--because", "not ours")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "mailposture.yaml"
    lasting = {"cause": "dane", "until": UNTIL, "because": "no DNSSEC here"}
    settings = {
        "domains": [{"name": "a.example", "acknowledged": [lasting]}],
        "data": "data",
        "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
    }
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def run(config: Path, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["acknowledge", "--config", str(config), *arguments], standalone_mode=True)
    assert done.exit_code == code, done.output
    return done.output


def test_acknowledge_list_and_withdraw(config: Path) -> None:
    assert run(config) == f"a.example: dane until {UNTIL} (configuration): no DNSSEC here\n"
    said = run(config, "A.example", "certificate", "mx1.a.example", *WHY)
    assert said == f"a.example: certificate at mx1.a.example alerts nobody until {UNTIL}\n"
    assert f"a.example: certificate at mx1.a.example until {UNTIL}: not ours\n" in run(config)
    run(config, "a.example", "certificate", "mx1.a.example", "--withdraw")
    assert "certificate" not in run(config)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("a.example",), "a CAUSE is missing"),
        (("b.example", "certificate", *WHY), "not among the configured domains"),
        (("a.example", "certificat", *WHY), "did you mean certificate?"),
        (("a.example", "mail-refused", "mx1.a.example", *WHY), "about the whole domain"),
        (("a.example", "certificate", "MX1.a.example", *WHY), "write mx1.a.example"),
        (("a.example", "certificate"), "--until DATE and --because TEXT"),
        (("a.example", "certificate", "--until", "2020-01-01", "--because", "x"), "2020-01-01 is over"),
        (("a.example", "certificate", "--withdraw"), "is not acknowledged"),
        (("a.example", "dane", "--withdraw"), "take it out there"),
    ],
)
def test_mistakes_are_named(config: Path, arguments: tuple[str, ...], hint: str) -> None:
    assert hint in run(config, *arguments, code=2)
