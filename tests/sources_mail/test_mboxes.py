"""mbox files as programs really write them: no mail is lost, and none is cut in two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from importing import imported, mail, tls

from collector.importing.files import find

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = (mail(tls(name)) for name in "abc")
FROM = b"From a@b Fri Nov 27 10:00:00 2026\n"
QUOTED = b"From x@y Thu Nov 26 09:00:00 2026\nSubject: an example of an mbox\n\nhello\n"


def _with_length(content: bytes) -> bytes:
    header, _, body = content.partition(b"\n\n")
    return b"%b\nContent-Length: %d\n\n%b" % (header, len(body), body)


def _with_text(text: bytes) -> bytes:
    return A.replace(b"This is a report.\n", text)


@pytest.mark.parametrize(
    "separator",
    [
        FROM,
        b"From - Fri Nov 27 10:00:00 2026\r\n",  # Thunderbird
        b"From 1793786400000@xxx Fri Nov 27 10:00:00 +0000 2026\r\n",  # Google Takeout
        b"From ???@??? Fri Nov 27 10:00:00 2026\n",  # Eudora
        b"From MAILER-DAEMON  Fri, 27 Nov 2026 10:00 +0100\n",
        b'From "John Doe" 2026-11-27T10:00:00Z\n',
        FROM + b">From uucp Fri Nov 27 10:00:00 2026 remote from relay\n",
    ],
)
@pytest.mark.parametrize("between", [b"", b"\n", b"\r\n\r\n"])
def test_mails_are_found_whoever_wrote_the_file(tmp_path: Path, separator: bytes, between: bytes) -> None:
    (tmp_path / "mbox").write_bytes(b"".join(separator + each + between for each in (A, B, C)))
    result = imported(tmp_path)
    assert (result.reports, result.faults) == (["a", "b", "c"], {})


def test_an_mbox_may_begin_with_empty_lines(tmp_path: Path) -> None:
    (tmp_path / "mbox").write_bytes(b"\n\r\n" + FROM + A + b"\n" + FROM + B)
    assert imported(tmp_path).reports == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        b"\nFrom now on reports are daily.\n",
        b"\nFrom Monday, 10:00 on\n",
        b"\nFrom 2026 on, at 10:00, it is daily.\nBye\n",
        b"\nFrom now on: daily\n",
        b"\n>From now on: daily\n",
    ],
)
def test_a_text_that_only_looks_like_the_beginning_of_a_mail_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "mbox").write_bytes(FROM + _with_text(text) + b"\n" + FROM + B)
    result = imported(tmp_path)
    assert (result.reports, result.faults) == (["a", "b"], {})


def test_where_its_length_is_written_a_mail_may_hold_an_mbox(tmp_path: Path) -> None:
    mails = [_with_length(each) for each in (_with_text(b"\n" + QUOTED), B, C)]
    (tmp_path / "mbox").write_bytes(b"".join(FROM + each + b"\n" for each in mails))
    assert [found.body for found in find([tmp_path])] == mails
    assert imported(tmp_path).reports == ["a", "b", "c"]


@pytest.mark.parametrize("wrong", [-7, 5, 100_000])
def test_a_wrong_length_swallows_no_mail(tmp_path: Path, wrong: int) -> None:
    header, _, body = A.partition(b"\n\n")
    lying = b"%b\nContent-Length: %d\n\n%b" % (header, len(body) + wrong, body)
    (tmp_path / "mbox").write_bytes(FROM + lying + b"\n" + FROM + B + b"\n" + FROM + C)
    assert imported(tmp_path).reports == ["a", "b", "c"]


def test_a_length_is_not_believed_for_ever_where_it_is_wrong(tmp_path: Path) -> None:
    lying = b"Content-Length: 900000\n" + A
    (tmp_path / "mbox").write_bytes((FROM + lying + b"\n") * 500)
    assert len(imported(tmp_path).reports) == 500


def test_mboxrd_is_taken_back_to_what_was_mailed(tmp_path: Path) -> None:
    (tmp_path / "mbox").write_bytes(FROM + _with_text(b"\n>From a@b 10:00 2026\n>>From there\n>x\n"))
    (found,) = find([tmp_path])
    assert b"\n\nFrom a@b 10:00 2026\n>From there\n>x\n" in found.body


def test_what_a_mail_server_notes_for_itself_is_passed_over(tmp_path: Path) -> None:
    notes = b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nThis text is part of...\n\n"
    (tmp_path / "mbox").write_bytes(FROM + notes + FROM + A)
    result = imported(tmp_path)
    assert (result.reports, result.faults, result.passed_over) == (["a"], {}, 1)
