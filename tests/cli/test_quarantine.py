"""`mailposture quarantine`: hundreds of held messages are listed whole, and chosen by what they have in common."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from holding import House, house_in
from ingesting import report

from collector.spool import HeldState

if TYPE_CHECKING:
    from pathlib import Path

QUARANTINED, REJECTED = HeldState.QUARANTINED, HeldState.REJECTED


@pytest.fixture
def house(tmp_path: Path) -> House:
    return house_in(tmp_path)


@pytest.fixture
def full(house: House) -> House:
    """Reports of two senders about two domains, held for two reasons, and what is no report."""
    for author in ("a@sender.example", "b@mail.other.example"):
        for domain in ("example.com", "example.org"):
            for reason in ("invalid", "no-signature"):
                contact = f"{domain}-{reason}-{author}"
                content = report(domain=domain).replace(b"tls@sender.example", author.encode())
                house.hold(contact, QUARANTINED, reason, report=content)
    house.hold("a@sender.example", REJECTED, "no-report")
    return house


@pytest.mark.parametrize(
    ("choice", "number"),
    [
        (("--all",), 8),
        (("--all", "--reason", "invalid"), 4),
        (("--reason", "invalid"), 4),
        (("--domain", "example.org"), 4),
        (("--reporter", "sender.example"), 4),
        (("--reporter", "other.example"), 4),
        (("--reporter", "elsewhere.example"), 0),
        (("--all", "--reason", "invalid", "--domain", "Example.com", "--reporter", "sender.example"), 1),
        (("--all", "--state", "rejected"), 1),
        (("--all", "--state", "all"), 9),
    ],
)
@pytest.mark.parametrize(("command", "done"), [("release", "released"), ("discard", "discarded")])
def test_what_has_something_in_common_is_released_and_discarded_together(
    full: House, command: str, done: str, choice: tuple[str, ...], number: int
) -> None:
    result = full.run(command, *choice)
    assert (result.exit_code, result.output.split(";")[0].strip()) == (0, f"{number} {done}")
    assert len(full.ids()) == 9 - number
    released = full.waiting().values()
    assert len(released) == (number if command == "release" else 0)
    assert all(envelope.by_operator for envelope in released)


def test_what_is_listed_is_what_would_be_released(full: House) -> None:
    choice = ("--reason", "invalid", "--domain", "example.org")
    listed = json.loads(full.run("list", *choice, "--format", "json").stdout)
    assert {(each["reason"], *each["domains"], *each["kinds"]) for each in listed} == {
        ("invalid", "example.org", "tls")
    }
    assert sorted(each["reporters"] for each in listed) == [["other.example"], ["sender.example"]]
    assert all(each["state"] == "quarantined" and each["received_at"].startswith("2026-11-01T04") for each in listed)
    full.run("release", *choice)
    assert not {each["id"] for each in listed} & full.ids()


def test_what_can_be_read_by_nobody_is_listed_all_the_same(house: House) -> None:
    house.hold("a@sender.example", REJECTED, "not-json", report=b"{")
    (listed,) = json.loads(house.run("list", "--state", "all", "--format", "json").stdout)
    assert (listed["domains"], listed["reporters"], listed["detail"]) == ([], [], "as it was")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name IDs, or choose"),
        (("abcd1234", "--all"), "name IDs, or choose"),
        (("--all", "--domain", "example.net"), "not among the configured domains"),
        (("--reason", "no-signatur"), "nothing is held for 'no-signatur'; did you mean no-signature?"),
        (("--reason", "\x1b[2J"), "reasons now: invalid, no-report, no-signature"),
    ],
)
def test_nothing_happens_unless_it_is_said_to_what(full: House, arguments: tuple[str, ...], said: str) -> None:
    for command in ("release", "discard", "judge-again"):
        result = full.run(command, *arguments)
        assert result.exit_code == 2
        assert said in result.output
    assert len(full.ids()) == 9


def test_an_id_that_is_gone_stops_no_other(full: House) -> None:
    there = sorted(full.ids())[:2]
    result = full.run("release", there[0], "abcd1234", there[1])
    assert result.exit_code == 1
    assert "nothing is held under abcd1234" in result.output
    assert "2 done" in result.output
    assert len(full.ids()) == 7


def test_nothing_is_cut_off_where_no_terminal_has_an_edge(house: House) -> None:
    author = f"{'k' * 60}@{'j' * 60}.{'z' * 60}.example"
    house.hold(author, QUARANTINED, "no-signature")
    listed = house.run("list").stdout.splitlines()
    assert len(listed) == 3
    assert listed[2].endswith("no-signature: as it was")
    assert author in listed[2]


def test_on_a_terminal_what_is_too_long_goes_on_in_the_next_line(house: House) -> None:
    author = f"{'k' * 60}@{'j' * 60}.{'z' * 60}.example"
    house.hold(author, QUARANTINED, "no-signature")
    ours, terminal = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "cli", "quarantine", "list"],
        cwd=house.folder,
        env={**os.environ, "COLUMNS": "80", "TERM": "xterm"},
        stdout=terminal,
        check=True,
    )
    os.close(terminal)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert [shown.count(letter) for letter in "kjz"] == [60, 60, 60]
    assert "\u2026" not in shown


def test_what_the_limit_leaves_out_is_counted(full: House) -> None:
    result = full.run("list", "--limit", "3")
    assert len(result.stdout.splitlines()) == 2 + 3
    assert result.stderr == "5 older ones are not shown; --limit 8 shows all\n"
