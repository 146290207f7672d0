"""The picture of the house in the README, kept by a test: imports only go down, services never import each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from programs import NOT_IN_DEBIAN, PACKAGES

ROOT = Path(__file__).parent.parent
SERVICES = ("collector", "exporter", "policy_host", "demo")
MAY_IMPORT = {
    "mailposture": set(),
    **{service: {"mailposture"} for service in SERVICES},
    "cli": {"mailposture", *SERVICES},
}


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_only_go_down(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    upwards = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in files
        for name in imported(file) & (MAY_IMPORT.keys() - MAY_IMPORT[package] - {package})
    }
    assert not upwards


def test_picture_in_the_readme_names_what_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    house = text.split("## The house")[1].split("```")[1]
    named = {
        line.split("/")[0] for line in house.splitlines() if line and not line.startswith((" ", "─")) and "/" in line
    }
    assert named >= set(MAY_IMPORT)
    assert not {name for name in named if not (ROOT / name).is_dir()}
    packages = {folder.parent.name for folder in ROOT.glob("*/__init__.py")}
    assert packages <= named | {"tests"}


# Escapes and sets, in which a quantifier's characters mean themselves.
LITERALS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?", re.DOTALL)


def test_no_pattern_has_possessive_quantifiers_or_atomic_groups():
    """Around groups they match wrongly before Python 3.11.5 (CPython gh-106052), which Debian 12 has."""
    found = set()
    for file in (file for package in MAY_IMPORT for file in (ROOT / package).rglob("*.py")):
        if "re" not in imported(file):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                if re.search(r"[*+?}]\+|\(\?>", LITERALS.sub("x", text)):
                    found.add(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_tests_start_other_programs_only_by_their_path():
    """So that a test whose program is missing is skipped, with the name of its package."""
    unguarded = set()
    for file in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple):
                words = node.elts
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".which", "_subprocess_exec")):
                words = node.args
            else:
                continue
            if len(words) > 1 and isinstance(words[0], ast.Constant) and words[0].value in {*PACKAGES, *NOT_IN_DEBIAN}:
                unguarded.add(f"{file.relative_to(ROOT)}:{node.lineno}: write program({words[0].value!r})")
    assert not unguarded
