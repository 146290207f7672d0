"""What may be said about the weekly digest, and what is refused before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mailposture.config.digest import Weekday
from mailposture.config.file import load
from mailposture.problems import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config.digest import Digest

SMTP = "smtp: {host: mail.example.com}"
DIGEST = f"sender: a@example.com, recipients: [b@example.com], {SMTP}"


def loaded(folder: Path, text: str) -> Digest:
    path = folder / "mailposture.yaml"
    path.write_text(f"domains: [{{name: example.com, team: web}}]\ndigest: {{{text}}}\n", encoding="utf-8")
    digest = load(path).digest
    assert digest is not None
    return digest


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"sender: a@example.com, {SMTP}", ":2: digest: goes to nobody; list `recipients`"),
        (f"recipients: [b@example.com], {SMTP}", ":2: digest.sender: is missing"),
        ("sender: a@example.com, recipients: [b@example.com]", ":2: digest.smtp: is missing"),
        (f"sender: a, recipients: [b@example.com], {SMTP}", ":2: digest.sender: 'a' is not an address"),
        (f'sender: "a@example.com\\r\\nBcc: x@y.example", recipients: [b@a.example], {SMTP}', "is not an address"),
        (
            f"sender: a@example.com, teams: {{wbe: [b@example.com]}}, {SMTP}",
            ":1: digest.teams names wbe, and no domain",
        ),
        (f"sender: a@example.com, teams: {{web: []}}, {SMTP}", ":2: digest.teams.web: "),
        (f"{DIGEST}, day: mon", ":2: digest.day: must be a day of the week, such as monday"),
        (f"{DIGEST}, day: 1", ":2: digest.day: must be a day of the week, such as monday"),
        (f"{DIGEST}, hour: 24", ":2: digest.hour: "),
        (f"{DIGEST}, hour: 08:00", ":2: digest.hour: must be a whole number"),
        (f"{DIGEST}, time_zone: Europe/Brelin", ":2: digest.time_zone: 'Europe/Brelin' is not a time zone such as"),
        (f"{DIGEST}, time_zone: ../../etc/passwd", ":2: digest.time_zone: '../../etc/passwd' is not a time zone"),
        (f"{DIGEST}, time_zone: ''", ":2: digest.time_zone: '' is not a time zone"),
        (f"{DIGEST}, grafana_url: 'javascript:alert(1)'", ":2: digest.grafana_url: must be an address that begins"),
        (f"{DIGEST}, grafana_url: 'https://a/d/x?y=1'", ":2: digest.grafana_url: must be an address that begins"),
        (DIGEST.replace("host:", "tls: maybe, host:"), ":2: digest.smtp.tls: must be true (TLS from the start)"),
        (DIGEST.replace("host:", "user: u, host:"), ":2: digest.smtp: give both user and password_file"),
        (
            DIGEST.replace("host:", "tls: false, user: u, password_file: p, host:"),
            ":2: digest.smtp: tls: false sends the password to mail.example.com in the clear",
        ),
        (DIGEST.replace("host:", "hots: x, host:"), ":2: digest.smtp.hots: there is no such key; did you mean host?"),
    ],
)
def test_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)
    assert complaint in str(raised.value)


def test_what_is_not_said_has_values_that_work(tmp_path: Path) -> None:
    digest = loaded(tmp_path, DIGEST)
    assert (digest.day, digest.hour, digest.time_zone, digest.grafana_url) == (Weekday.MONDAY, 8, "UTC", None)
    assert (digest.smtp.tls, digest.smtp.port) == ("starttls", 587)


@pytest.mark.parametrize(("tls", "port"), [("true", 465), ("false", 25)])
def test_the_port_follows_from_how_tls_begins(tmp_path: Path, tls: str, port: int) -> None:
    assert loaded(tmp_path, DIGEST.replace("host:", f"tls: {tls}, host:")).smtp.port == port


def test_a_password_file_is_relative_to_the_configuration(tmp_path: Path) -> None:
    digest = loaded(tmp_path, DIGEST.replace("host:", "user: u, password_file: secrets/smtp, host:"))
    assert digest.smtp.password_file == tmp_path / "secrets/smtp"
