"""`mailposture init` says all that is wrong at once, and changes nothing then."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.main import main
from mailposture.config.file import load

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def init(folder: Path, *domains: str) -> Result:
    return CliRunner().invoke(main, ["init", str(folder), *(word for name in domains for word in ("--domain", name))])


def test_wrong_names_and_a_file_that_exists_are_named_together(tmp_path: Path) -> None:
    path = tmp_path / "mailposture.yaml"
    path.write_text("mine")
    done = init(tmp_path, "localhost", "example.com", "no name")
    assert done.exit_code == 2
    localhost, no_name, exists = done.output.splitlines()
    assert localhost.startswith("--domain: 'localhost' is a name without a dot")
    assert no_name.startswith("--domain: 'no name' is not a domain name")
    assert exists.startswith(f"{path}: exists already")
    assert path.read_text() == "mine"


def test_wrong_name_writes_nothing(tmp_path: Path) -> None:
    assert init(tmp_path / "new", "192.0.2.1").exit_code == 2
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_name_is_not_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["init", "", "--domain", "example.com"])
    assert done.exit_code == 2
    assert "an empty path names nothing" in done.output
    assert not list(tmp_path.iterdir())


def test_a_name_given_twice_is_one_domain(tmp_path: Path) -> None:
    assert init(tmp_path, "bücher.example", "xn--bcher-kva.example.").exit_code == 0
    assert [domain.name for domain in load(tmp_path / "mailposture.yaml").domains] == ["xn--bcher-kva.example"]


@pytest.mark.parametrize("in_the_way", ["data", "mailposture.yaml"])
def test_what_is_in_the_way_is_named_itself(tmp_path: Path, in_the_way: str) -> None:
    """A dangling link too: whoever follows it would write a file that nobody chose."""
    (tmp_path / in_the_way).symlink_to(tmp_path / "nowhere")
    done = init(tmp_path, "example.com")
    assert done.exit_code == 2
    assert done.output.startswith(f"{tmp_path / in_the_way}: ")
    assert not (tmp_path / "nowhere").exists()


def test_a_disk_without_room_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    """Which the next attempt would take for the operator's own."""
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, room[1]))
    try:
        done = init(tmp_path, "example.com")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)
    assert done.exit_code == 2
    assert done.output.startswith(f"{tmp_path / 'mailposture.yaml'}: cannot be written (File too large)")
    assert init(tmp_path, "example.com").exit_code == 0


def run_init(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["init", str(folder), *options])


def test_files_of_domains_are_named_and_followed(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mail: 1.txt").write_text("b.example\n")
    (tmp_path / "parked.txt").write_text("c.example\n")
    done = run_init(
        tmp_path / "here",
        *("--domain", "a.example", "--domains-file", str(tmp_path / "here/mail: 1.txt")),
        *("--parked", "d.example", "--parked", "e.example", "--parked-file", str(tmp_path / "parked.txt")),
    )
    assert done.exit_code == 0, done.output
    (tmp_path / "parked.txt").write_text("c.example\nf.example\n")
    config = load(tmp_path / "here/mailposture.yaml")
    assert {domain.name: domain.parked for domain in config.domains} == {
        "a.example": False,
        "b.example": False,
        "d.example": True,
        "e.example": True,
        "c.example": True,
        "f.example": True,
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "name a domain of yours that takes mail: --domain"),
        (("--parked", "a.example"), "takes mail, to which reports about parked ones go: --domain"),
        (("--domain", "a.example", "--parked", "b"), "--parked: 'b' is a name without a dot"),
        (("--domain", "a.example", "--parked", "a.example"), "a.example is listed twice"),
        (("--domain", "a.example", "--parked-file", "names"), "names:1: 'x y' is not a domain name"),
    ],
)
def test_what_makes_no_configuration_leaves_none(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    names = tmp_path / "names"
    names.write_text("x y\n")
    done = run_init(tmp_path / "new", *(str(names) if option == "names" else option for option in options))
    assert done.exit_code == 2
    assert words in done.output
    assert not (tmp_path / "new/mailposture.yaml").exists()
