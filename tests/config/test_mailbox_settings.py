"""What may be said about mailboxes, and what is refused before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mailposture.config.file import load
from mailposture.problems import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config.model import Config

MAILBOX = "host: imap.example.com, user: u, password_file: p"


def loaded(folder: Path, text: str) -> Config:
    path = folder / "mailposture.yaml"
    path.write_text("domains: [{name: example.com}]\n" + text, encoding="utf-8")
    return load(path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tls: false", ":2: imap[0]: tls: false sends the password to imap.example.com in the clear"),
        ("tls: maybe", ":2: imap[0].tls: must be true (TLS from the start), starttls, or false"),
        ("processed: inbox", ":2: imap[0]: folder and processed are both 'INBOX'; name another folder"),
        (
            "folder: Reports/tls, processed: 'reports/{kind}'",
            ":2: imap[0]: folder and processed are both 'Reports/tls'; name another folder",
        ),
        ("processed: ''", ":2: imap[0].processed: "),
        ("folder: ''", ":2: imap[0].folder: "),
        ("prot: 1", ":2: imap[0].prot: there is no such key; did you mean port?"),
        (
            "oauth: {token_url: 'https://a/b', client_id: c, client_secret_file: d}",
            ":2: imap[0]: u at imap.example.com needs",
        ),
        ("port: 0", ":2: imap[0].port: "),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, f"imap: [{{{MAILBOX}, {text}}}]\n")
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "token_url: 'http://login.example/token', client_id: c, client_secret_file: s",
            "must be an address that begins",
        ),
        (
            "token_url: 'https://login.example/token', client_id: c",
            "needs client_secret_file, refresh_token_file, or both",
        ),
        ("token_url: 'https://login.example/token', client_id: '', client_secret_file: s", "client_id: "),
        ("token_url: 'https://login.example/token', client_secret_file: s", "client_id: is missing"),
    ],
)
def test_mistake_in_oauth_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, f"imap: [{{host: h.example, user: u, oauth: {{{text}}}}}]\n")
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    ("text", "port"),
    [("tls: true", 993), ("tls: starttls", 143), ("tls: false, cleartext_password: true", 143), ("port: 1993", 1993)],
)
def test_port_follows_from_tls(tmp_path: Path, text: str, port: int) -> None:
    assert loaded(tmp_path, f"imap: [{{{MAILBOX}, {text}}}]\n").imap[0].port == port


@pytest.mark.parametrize("host", ["127.0.0.1", "'::1'", "localhost"])
def test_on_this_machine_a_password_may_go_in_the_clear(tmp_path: Path, host: str) -> None:
    config = loaded(tmp_path, f"imap: [{{host: {host}, user: u, password_file: p, tls: false}}]\n")
    assert config.imap[0].tls is False


def test_reports_stay_where_processed_is_null(tmp_path: Path) -> None:
    assert loaded(tmp_path, f"imap: [{{{MAILBOX}, processed: null}}]\n").imap[0].processed is None


def test_a_folder_per_kind(tmp_path: Path) -> None:
    mailbox = loaded(tmp_path, f"imap: [{{{MAILBOX}, processed: 'a/{{kind}}'}}]\n").imap[0]
    assert mailbox.processed_folder("tls") == "a/tls"


def test_a_mailbox_is_read_once_and_servers_on_one_host_are_two(tmp_path: Path) -> None:
    twice = f"imap: [{{{MAILBOX}}}, {{{MAILBOX}, port: 993}}]"
    with pytest.raises(ConfigError, match=r"the mailbox u at imap\.example\.com, INBOX is listed twice"):
        loaded(tmp_path, twice)
    names = [each.name for each in loaded(tmp_path, twice.replace("993", "1993")).imap]
    assert names == ["u at imap.example.com, INBOX", "u at imap.example.com:1993, INBOX"]
    starttls = loaded(tmp_path, f"imap: [{{{MAILBOX}, tls: starttls}}]")
    assert starttls.imap[0].name == "u at imap.example.com, INBOX"
