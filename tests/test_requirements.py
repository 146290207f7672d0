"""What is installed is pinned with hashes, and pinned to what pyproject.toml asks for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = {"image": (), "run": ("embedded",), "dev": ("embedded", "dev")}


def pinned(name: str) -> dict[str, tuple[Requirement, int]]:
    """What a file pins, with the number of its hashes, by name."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found = {}
    for entry in entries:
        requirement, *hashes = re.split(r"\s+--hash=sha256:(?=[0-9a-f]{64}\b)", entry.rstrip())
        parsed = Requirement(requirement)
        found[canonicalize_name(parsed.name)] = (parsed, len(hashes))
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_every_requirement_is_pinned_within_what_the_project_asks_for(name: str) -> None:
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    wanted += [each for extra in EXTRAS[name] for each in PROJECT["project"]["optional-dependencies"][extra]]
    found = pinned(name)
    for requirement in map(Requirement, wanted):
        pin, _ = found[canonicalize_name(requirement.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version, prereleases=True), requirement


@pytest.mark.parametrize("name", EXTRAS)
def test_every_pin_has_hashes(name: str) -> None:
    assert all(hashes for _, hashes in pinned(name).values())


def test_services_run_with_what_was_tested() -> None:
    image, run, dev = ({name: str(pin.specifier) for name, (pin, _) in pinned(each).items()} for each in EXTRAS)
    assert image.items() < run.items() < dev.items()


def test_the_build_backend_is_pinned() -> None:
    assert all("==" in requirement for requirement in PROJECT["build-system"]["requires"])


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile", "tests/compose/standins/Dockerfile"])
def test_nothing_is_installed_but_by_hash_or_from_here(name: str) -> None:
    text = (ROOT / name).read_text()
    text = re.sub(r"^INSTALL := .*\n", "", text, flags=re.MULTILINE)
    installing = re.findall(r"(?:pip3? install|\$\(INSTALL\)) (.*)", text)
    assert installing
    for options in installing:
        # An archive of sources would be built with whatever backend pip finds, unless that is one of ours.
        wheels = "--only-binary :all:" in options and (
            "--no-binary" not in options or "--no-build-isolation" in options
        )
        assert (wheels and "--require-hashes" in options) or "--no-deps --no-build-isolation" in options


def test_nothing_else_of_ours_installs_packages() -> None:
    """But bench/, which makes an environment for the program that it compares with."""
    folders = [*PROJECT["tool"]["mypy"]["packages"], "tests", ".ci", "docker"]
    files = [
        file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix != ".pyc"
    ]
    assert files
    found = {
        str(file.relative_to(ROOT)) for file in files if re.search(rb"""\bpip3?\b["', ]+install\b""", file.read_bytes())
    }
    # What an administrator is advised to type, and the file that the test above reads.
    assert found == {"mailposture/clickhouse/embedded.py", "tests/compose/standins/Dockerfile"}


def test_the_pythons_that_are_claimed_are_those_that_are_allowed() -> None:
    claimed = {each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"]}
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert claimed == {f"3.{minor}" for minor in range(100) if f"3.{minor}.0" in allowed}
