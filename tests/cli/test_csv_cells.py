"""Texts of others in a cell of CSV."""

from __future__ import annotations

import io

import pytest

from cli.csv_cells import guard, guarded


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30 1234", "'+49 30 1234"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("\nx", "'\nx"),
        (" =1", " '=1"),
        ('"=1', "\"'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-", "'-"),
        ("-5-cmd", "'-5-cmd"),
        (f"{' ' * 99}=1", f"{' ' * 99}'=1"),
        (f"{'((' * 99}=1", f"{'((' * 99}'=1"),
        ("\ufeff=1", "\ufeff'=1"),
        ("\u200b\0=1", "\u200b\0'=1"),
    ],
)
def test_nothing_starts_as_a_formula_does(cell: str, safe: str) -> None:
    assert guarded(cell) == safe


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("['Good','=evil']", "['Good',''=evil']"),
        ("Good=5;=evil=3", "Good=5;'=evil=3"),
        ("Good;=evil", "Good;'=evil"),
        ("Good,@evil", "Good,'@evil"),
        ("Good\n+evil", "Good\n'+evil"),
        ("Good|-evil", "Good|'-evil"),
        (f"Good;{' ' * 99}=evil", f"Good;{' ' * 99}'=evil"),
        ("-1\t=evil", "-1\t'=evil"),
    ],
)
def test_nor_does_what_stands_behind_a_separator(cell: str, safe: str) -> None:
    assert guarded(cell) == safe


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "Good",
        "2026-11-28",
        "a-b=c@d",
        "-5",
        "-5.25e-3",
        "Good =5",
        "[-1,2,-3]",
        "('x',-5)",
        '{"a":-5}',
        "\\N",
        "::ffff:192.0.2.1",
    ],
)
def test_numbers_and_plain_text_stay_as_they_are(cell: str) -> None:
    assert guarded(cell) == cell


def test_lines_breaks_and_bytes_pass_through() -> None:
    answer = b'"a\r\nb",1\n"\xff","=x"\n'
    written = "".join(guard(io.BytesIO(answer))).encode("utf-8", "surrogateescape")
    assert written == b'"a\r\nb",1\n\xff,\'=x\n'
