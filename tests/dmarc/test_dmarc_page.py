"""What docs/dmarc.md says can be typed, works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from cli.explain import command as explain
from mailposture.config.model import Config
from reports.causes import CAUSES
from reports.dmarc.senders import check_senders

if TYPE_CHECKING:
    from engine import Storage


PAGE = (Path(__file__).parents[2] / "docs/dmarc.md").read_text(encoding="utf-8")
QUERIES = re.findall(r'mailposture sql "(.+?)"\n', PAGE, re.DOTALL)


def test_there_are_queries() -> None:
    assert len(QUERIES) == PAGE.count("mailposture sql") > 0


@pytest.mark.parametrize("query", QUERIES)
def test_queries_run_as_an_analyst(storage: Storage, query: str) -> None:
    storage.ask(query, "analyst")


@pytest.mark.parametrize("view", re.findall(r"`((?:dmarc|sending)_[a-z_]+)`", PAGE))
def test_views_that_are_named_can_be_read(storage: Storage, view: str) -> None:
    storage.ask(f"SELECT * FROM {view}", "grafana")


@pytest.mark.parametrize("term", re.findall(r"mailposture explain ([\w-]+)", PAGE))
def test_terms_are_explained(term: str) -> None:
    assert CliRunner().invoke(explain, [term]).exit_code == 0


def test_cause_that_is_acknowledged_is_one() -> None:
    (cause,) = re.findall(r"^mailposture acknowledge example.com ([\w-]+)", PAGE, re.MULTILINE)
    assert cause in CAUSES
    view = Path(__file__).parents[2] / "reports/dmarc/schema/views/50_dmarc_readiness_sources.sql"
    assert f"cause = '{cause}'" in view.read_text()


def test_examples_of_configuration_are_read() -> None:
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.+?)```", PAGE, re.DOTALL)]
    written = {key: value for block in blocks for key, value in block.items()}
    config = Config.model_validate(written)
    check_senders(config)
    assert config.source_names.reverse_dns
    assert [sender.name for sender in config.domains[0].senders] == ["Billing server", "Newsletter", "Vendor"]
