"""The picture of the house in ARCHITECTURE.md, and rules about code that no linter has."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports
from programs import NOT_IN_DEBIAN, PACKAGES
from tree import files_in

from reports.kinds import KINDS

ROOT = Path(__file__).parent.parent
PACKAGES_OF_OURS = sorted(folder.parent.name for folder in ROOT.glob("*/__init__.py"))
FOLDERS_OF_KINDS = {kind.schema.parent.name for kind in KINDS}


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_imports_keep_to_the_layers(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == EXIT_STATUS_SUCCESS


def test_layers_know_every_package():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert contracts["root_packages"] == PACKAGES_OF_OURS
    layers = {name.strip() for layer in contracts["contracts"][0]["layers"] for name in layer.split("|")}
    assert layers == set(PACKAGES_OF_OURS)


def test_kinds_of_reports_do_not_know_each_other(tmp_path):
    """A contract that pyproject.toml does not have: each kind would have to be listed there once more."""
    contract = tmp_path / "kinds.toml"
    contract.write_text(
        f"""
        [tool.importlinter]
        root_package = "reports"

        [[tool.importlinter.contracts]]
        name = "Kinds of reports do not know each other"
        type = "independence"
        modules = {[f"reports.{name}" for name in sorted(FOLDERS_OF_KINDS)]}
        """
    )
    assert lint_imports(config_filename=str(contract), no_cache=True) == EXIT_STATUS_SUCCESS


def test_picture_of_the_house_names_what_is_there():
    """Folders and files of the picture exist, and every folder of ours stands in it: of kinds of reports, some."""
    house = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    top, named = "", set()
    for line in house.splitlines():
        names = re.findall(r"(?:^|(?<=[ (]))([\w.-]+/|[\w-]+\.(?:py|toml|yml))(?=[ ),]|$)", line.split("   each ")[0])
        if not names or line.startswith("─"):
            continue
        if not line.startswith(" "):
            top = names[0] if names[0].endswith("/") else ""
            named |= set(names)
            continue
        folder = names[0] if names[0].endswith("/") else ""
        for name in names:
            places = [place for place in (top + name, top + folder + name) if (ROOT / place).exists()]
            assert places, f"{name} in {line!r}"
            named.update(places)
    assert {f"{package}/" for package in PACKAGES_OF_OURS} <= named
    below = {
        f"{file.parent.relative_to(ROOT)}/"
        for package in ("collector", "reports")
        for file in (ROOT / package).glob("*/__init__.py")
    }
    kinds = {f"reports/{name}/" for name in FOLDERS_OF_KINDS}
    assert below - {"collector/dkim/"} - kinds <= named
    assert kinds & named


# Escapes and sets, in which a quantifier's characters mean themselves.
LITERALS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?", re.DOTALL)


def test_no_pattern_has_possessive_quantifiers_or_atomic_groups():
    """Around groups they match wrongly before Python 3.11.5 (CPython gh-106052), which Debian 12 has."""
    found = set()
    for file in (file for package in PACKAGES_OF_OURS for file in files_in(ROOT / package, ".py")):
        if "re" not in imported(file):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
                text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
                if re.search(r"[*+?}]\+|\(\?>", LITERALS.sub("x", text)):
                    found.add(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert not found


def test_modules_of_tests_have_names_of_their_own():
    """Their folders are no packages: two of one name, and pytest runs nothing."""
    names = Counter(file.name for file in files_in(ROOT / "tests", ".py") if file.name.startswith("test_"))
    assert [name for name, times in names.items() if times > 1] == []


def test_fixtures_of_engines_are_imported_nowhere():
    """Pytest would start an engine for each module that does; without an import they are those of tests/conftest.py."""
    imports = re.compile(r"^from (engine|two_domains) import .*\b(engine|storage|two_domains)\b", re.MULTILINE)
    assert [file.name for file in files_in(ROOT / "tests", ".py") if imports.search(file.read_text("utf-8"))] == []


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


def test_what_follows_from_a_source_is_asked_of_it():
    """SQL that names one would miss the next."""
    named = re.compile(r"\bsource\s*(?:=|!=|<>|(?:NOT\s+)?IN\s*\()\s*'", re.IGNORECASE)
    files = [file for package in PACKAGES_OF_OURS for file in files_in(ROOT / package, ".py", ".sql")]
    files += ROOT.glob("dashboards/*.json")
    assert [str(file.relative_to(ROOT)) for file in files if named.search(file.read_text(encoding="utf-8"))] == []
