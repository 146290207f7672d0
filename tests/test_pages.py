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


def test_every_short_name_in_the_map_is_beside_a_path_of_its_row() -> None:
    """`a/one.py` is followed by `two.py` for `a/two.py`; what each kind of report has is looked for in all of them."""
    missing, short = [], 0
    for row in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines():
        names = re.findall(r"`([\w./*-]+)`", row) if row.startswith("| ") else []
        paths = [path for name in names if "/" in name for path in ROOT.glob(name)]
        beside = [path if path.is_dir() else path.parent for path in paths]
        if re.search(r"\bkind\b", row):
            beside += [*ROOT.glob("reports/*"), *ROOT.glob("reports/*/schema/views")]
        for name in names:
            if re.search(r"\.(j2|py|sql|tmpl|xml|ya?ml)$", name) and not list(ROOT.glob(name)):
                short += 1
                missing += [name] if not any(list(folder.glob(name)) for folder in beside) else []
    assert short
    assert missing == []


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_command_is_on_a_page() -> None:
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    assert not [name for name in COMMANDS if f"mailposture {name}" not in pages]
