"""How an IMAP session begins: encrypted or not at all, and with any password that a person may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eventually import eventually
from sources_mail.odd_imap import OddImap
from sources_mail.reading import RecordingSpool, events, report_mail
from structlog.testing import capture_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collector.sources.mailbox.loop import MailboxLoop

UTF_8_PASSWORD = 'k\u00e4se-\u20ac-\u6771-"x\\y'


def trouble(said: list[Any]) -> str:
    lines = events(said, "cannot read a mailbox")
    return lines[-1]["trouble"] if lines else ""


@pytest.mark.slow
@pytest.mark.parametrize("password", [UTF_8_PASSWORD, 'a"b\\c'])
def test_a_password_may_have_any_letter(
    new_dovecot: Callable[..., Any], spool: RecordingSpool, read: Callable[..., MailboxLoop], password: str
) -> None:
    server = new_dovecot(password=password)
    server.deliver(report_mail(1))
    read(server)
    eventually("it", lambda: spool.bodies == [report_mail(1)])


@pytest.mark.slow
def test_starttls_is_used_and_its_certificate_verified(
    dovecot: Any, spool: RecordingSpool, read: Callable[..., MailboxLoop]
) -> None:
    dovecot.deliver(report_mail(1))
    with capture_logs() as said:
        read(dovecot, tls="starttls", port=dovecot.plain_port, certificate_authority=None)
        eventually("that it is refused", lambda: trouble(said) == "certificate")
        assert spool.got == []
        read(dovecot, tls="starttls", port=dovecot.plain_port)
        eventually("it", lambda: spool.bodies == [report_mail(1)])


def test_without_starttls_no_password_is_sent(read: Callable[..., MailboxLoop], spool: RecordingSpool) -> None:
    with OddImap(report_mail(1)).serving() as odd, capture_logs() as said:
        odd.capabilities += " AUTH=PLAIN"
        read(odd, tls="starttls")
        eventually("that it is refused", lambda: trouble(said) == "certificate")
        assert not [command for command in odd.commands if "LOGIN" in command or "AUTHENTICATE" in command]
    assert spool.got == []
    assert "no password was sent" in events(said, "cannot read a mailbox")[0]["reason"]


def test_a_server_without_auth_plain_gets_login(read: Callable[..., MailboxLoop], spool: RecordingSpool) -> None:
    with OddImap(report_mail(1)).serving() as odd:
        read(odd)
        eventually("it", lambda: spool.bodies == [report_mail(1)])
        assert any(command.startswith("LOGIN") for command in odd.commands)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_password_file_that_is_no_use_is_named(
    read: Callable[..., MailboxLoop], tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with OddImap(report_mail(1)).serving() as odd, capture_logs() as said:
        read(odd, password_file=path)
        eventually("that it is said", lambda: trouble(said) == "file")
    line = events(said, "cannot read a mailbox")[0]
    assert f"{path} {reason}" in line["reason"] or f"{path} is {reason}" in line["reason"]


def test_a_server_that_repeats_the_password_does_not_bring_it_into_the_log(
    read: Callable[..., MailboxLoop], tmp_path: Path
) -> None:
    path = tmp_path / "secret"
    path.write_text('s3cret"word\n')
    with OddImap(report_mail(1)).serving() as odd, capture_logs() as said:
        odd.echoes = True
        read(odd, password_file=path)
        eventually("that it is said", lambda: trouble(said) == "login")
    assert "you sent LOGIN" in events(said, "cannot read a mailbox")[0]["reason"]
    assert "[secret]" in events(said, "cannot read a mailbox")[0]["reason"]
    assert "word" not in str(said)
