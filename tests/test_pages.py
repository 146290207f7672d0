"""Pages point to what is there: files move, and a link or a path that nobody follows stays behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.commands import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    str(page.relative_to(ROOT))
    for folder in (".", "docs", "alerting-rules/runbooks")
    for page in (ROOT / folder).glob("*.md")
)
# Pages about the code; those for operators name files of other machines and programs, too.
OF_THE_CODE = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]


def test_there_are_pages() -> None:
    assert {*OF_THE_CODE, "README.md", "docs/alerts.md", "alerting-rules/runbooks/Watchdog.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    path = ROOT / page
    broken = []
    for place, heading in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)", path.read_text(encoding="utf-8")):
        target = path.parent / place if place else path
        if not target.exists() or (heading and heading not in anchors(target)):
            broken.append(f"{place}#{heading}")
    assert not broken


@pytest.mark.parametrize("page", OF_THE_CODE)
def test_every_path_in_text_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    named = [path for path in re.findall(r"`([\w.-]+/[\w./*-]*)`", text) if path.split("/")[0] in folders]
    assert named
    assert not [path for path in named if not list(ROOT.glob(path.rstrip("/")))]


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_command_is_on_a_page() -> None:
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert not [name for name in COMMANDS if f"mailposture {name}" not in pages]
