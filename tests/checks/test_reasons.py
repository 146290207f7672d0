"""The reasons of checks are one closed set: what the page explains, and what SQL compares with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import explain
from mailposture.checks.reason import Reason
from mailposture.checks.reason_words import WORDS
from reports.dmarc import words as dmarc_words
from reports.tls.failures import MEANINGS

ROOT = Path(__file__).parents[2]
COMPARED = re.compile(r"reason(?:s\[\d\])?\)? (?:=|!=|IN|NOT IN|LIKE|NOT LIKE) (\([^()]*\)|'[^']*')")
VIEWS = [path for path in ROOT.glob("*/**/*.sql") if ".venv" not in path.parts and "probe_results" in path.read_text()]


def test_every_reason_is_explained_on_the_page() -> None:
    page = (ROOT / "docs/probes.md").read_text()
    assert not [reason for reason in Reason if f"`{reason}`" not in page and not reason.startswith("policy-")]
    assert "| `policy-…` |" in page


@pytest.mark.parametrize("view", VIEWS, ids=lambda path: path.stem)
def test_reasons_in_sql_are_reasons_of_checks(view: Path) -> None:
    terms = {
        term for compared in COMPARED.findall(view.read_text()) for term in re.findall(r"'([^']*)'", compared) if term
    }
    unknown = {term for term in terms if not any(re.fullmatch(term.replace("%", ".*"), reason) for reason in Reason)}
    assert not unknown


def test_sql_that_compares_reasons_is_found() -> None:
    found = {term for view in VIEWS for term in COMPARED.findall(view.read_text())}
    assert any("outbound-port-25-blocked" in term for term in found)


def test_every_reason_about_a_dns_record_is_explained() -> None:
    sources = "".join((ROOT / f"mailposture/checks/{name}.py").read_text() for name in ("dns", "spf", "dmarc", "dkim"))
    found = {Reason[name] for name in re.findall(r"Reason\.([A-Z_]+)", sources)}
    assert Reason.TOO_MANY_LOOKUPS in found
    assert found <= {*WORDS, *MEANINGS}
    assert not set(WORDS) & {*MEANINGS, *dmarc_words.MEANINGS}, "one term, one meaning"
    assert "Receivers give up after ten" in " ".join(said("too-many-lookups").split())
    assert "did you mean too-many-lookups" in said("too-many-lookup")
    assert "key-revoked" in said()


def said(*terms: str) -> str:
    """What `mailposture explain` prints."""
    return CliRunner().invoke(explain.command, terms).output
