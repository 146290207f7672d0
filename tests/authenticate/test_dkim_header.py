"""A mail's header is read completely or not at all, on each supported Python and in linear time."""

from __future__ import annotations

import pytest

from collector.dkim.canonical import LONGEST_HEADER, UnreadableError, read


def test_every_field_is_read_as_it_was_written() -> None:
    mail = read(b"From: a@example.net\r\nSubject:\r\n folded\r\n\tand again\r\nX:y\r\nx: z\r\n\r\nbody\r\n")
    assert mail.fields == {
        b"from": [(b"From", b" a@example.net")],
        b"subject": [(b"Subject", b"\r\n folded\r\n\tand again")],
        b"x": [(b"X", b"y"), (b"x", b" z")],
    }
    assert mail.body == b"body\r\n"


@pytest.mark.parametrize(
    "line", [b" \t", b"no colon", b"bad name: x", b"x: \0", b" folded\0", b": nameless", b"x: bare\rCR", b"x: \f"]
)
def test_malformed_line_makes_the_whole_mail_unreadable(line: bytes) -> None:
    with pytest.raises(UnreadableError, match="line 2 of the mail's header is malformed"):
        read(b"From: a@example.net\r\n" + line + b"\r\nX: y\r\n\r\nbody\r\n")


# A pattern that backtracks takes hours for each of these.
@pytest.mark.parametrize(
    "unit", [b"\r\nx:", b"\r\n y", b" ", b"\r\n  y  ", b"x", b"\r\n \t y z", b"\xff"], ids=lambda unit: repr(unit)[2:-1]
)
def test_longest_header_is_read_in_linear_time(unit: bytes) -> None:
    header = b"a: b" + unit * ((LONGEST_HEADER - 16) // len(unit))
    assert read(header + b"\r\n\r\nbody\r\n").body == b"body\r\n"
    for malformed in (b"\0\r\n", b"\r\n \r\n"):
        with pytest.raises(UnreadableError, match="malformed"):
            read(header + malformed + b"\r\nbody\r\n")
