"""`mailposture digest` as it is typed."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from cli.digest import command

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result
    from engine import Storage
    from sample_reports import Reports

pytestmark = pytest.mark.slow


@pytest.fixture
def file(two_domains: Storage, reports: Reports, tmp_path: Path) -> Path:
    """A configuration without any section about the digest."""
    for day in range(1, 15):
        reports.add("shop.example", day=day, successful=100, sts_mode="enforce")
    path = tmp_path / "mailposture.yaml"
    settings = {
        "domains": [{"name": "shop.example", "team": "web"}, {"name": "other.example"}],
        "data": str(two_domains.config.data),
        "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
    }
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def typed(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--config", str(file), *arguments])


def test_it_prints_every_form_without_being_configured(file: Path) -> None:
    assert typed(file, "--team", "web").output.startswith("Mail security of team web, ")
    assert typed(file, "--domain", "shop.example", "--format", "html").output.startswith("<!DOCTYPE html>")
    record = json.loads(typed(file, "--format", "json").output)
    assert {each["policy_domain"]: each["sessions"] for each in record["domains"]}["shop.example"] == 700
    mail = message_from_bytes(typed(file, "--format", "eml").stdout_bytes, policy=policy.default)
    assert mail["From"] == "mailposture@localhost"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--week", "47"), "'47' is not a week such as 2026-W47"),
        (("--week", "2199-W01"), "week 2199-W01 is not over yet"),
        (("--team", "wbe"), "no domain of the configuration is of that team (mail, web)"),
        (("--domain", "shop.exmaple"), "did you mean shop.example?"),
        (("--domain", "shop.example", "--team", "web"), "give one of them"),
        (("--send",), "--send needs a section `digest:`"),
    ],
)
def test_wrong_usage_is_named(file: Path, arguments: tuple[str, ...], complaint: str) -> None:
    done = typed(file, *arguments)
    assert done.exit_code == 2
    assert complaint in " ".join(done.output.replace("│", " ").split())
