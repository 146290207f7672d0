"""Entries of `domains` that stand for several: in a list, or in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mailposture.config.file import load
from mailposture.problems import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "parked.txt").write_text(
        "# ours\nB\u00fccher.example  # since 2019\n\nc.example\nc.example\n", encoding="utf-8"
    )
    return tmp_path / "mailposture.yaml"


def faults(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


def test_each_name_is_a_domain_with_what_its_entry_says(path: Path) -> None:
    path.write_text("""
domains:
  - name: example.com
  - names: [a.example, B.example.]
    team: web
  - file: parked.txt
    parked: true
    thresholds: {minimum_sessions: 5}
""")
    found = [(each.name, each.team, each.parked, each.thresholds.minimum_sessions) for each in load(path).domains]
    assert found == [
        ("example.com", "mail", False, 20),
        ("a.example", "web", False, 20),
        ("b.example", "web", False, 20),
        ("xn--bcher-kva.example", "mail", True, 5),
        ("c.example", "mail", True, 5),
    ]


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        (
            "{names: [a.example, b c]}",
            "2: domains[0].names[1]: 'b c' is not a domain name; write what",
        ),
        ("{names: [7]}", "2: domains[0].names[0]: '' is not a domain name; write what stands behind"),
        (
            "{names: a.example}",
            "2: domains[0].names: must be a list of domains, such as [example.com,",
        ),
        ("{names: [], name: a.example}", "2: domains[0]: has name and names; give one of them, and"),
        (
            "{names: [a.example], token: 0123456789abcdef}",
            "2: domains[0]: has a token, which belongs to",
        ),
        ("{file: 7}", "2: domains[0].file: must be a path; put it in quotes"),
        ("{file: away.txt}", "2: domains[0].file: "),
        (
            "{names: [a.example, b.example], tem: web}",
            "2: domains[0].tem: there is no such key; did you",
        ),
        (
            "{fil: parked.txt, name: a.example}",
            "2: domains[0].fil: there is no such key; did you mean f",
        ),
        (
            "{names: [a.example], parked: true}",
            "1: a.example is parked, so it takes no mail, and no add",
        ),
    ],
)
def test_mistake_is_named_once_with_its_place(path: Path, entry: str, fault: str) -> None:
    (said,) = faults(path, f"domains:\n- {entry}\n")
    assert said.startswith(f"mailposture.yaml:{fault}")


def test_mistake_in_a_file_is_named_with_its_line(path: Path) -> None:
    (path.parent / "parked.txt").write_text("a.example\nlocalhost\n192.0.2.1\n")
    one, two = faults(path, "domains: [{file: parked.txt}]")
    assert one.startswith("parked.txt:2: 'localhost' is a name without a dot")
    assert two.startswith("parked.txt:3: '192.0.2.1' is an IP address")
    (path.parent / "parked.txt").write_bytes(b"\xff")
    (said,) = faults(path, "domains: [{file: parked.txt}]")
    assert "parked.txt cannot be read (it is not UTF-8 text); name a file with a domain per line" in said


def test_domain_of_two_entries_is_listed_twice(path: Path) -> None:
    (said,) = faults(path, "domains: [{name: c.example}, {file: parked.txt}]")
    assert said.endswith("domain c.example is listed twice; join the two entries")


def test_thousands_of_names_that_are_wrong_are_twenty_lines(path: Path) -> None:
    (path.parent / "parked.txt").write_text("x\n" * 5000)
    assert len(faults(path, "domains: [{file: parked.txt}]")) == 20
