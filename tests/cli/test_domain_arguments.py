"""A domain on the command line means the configured one, however it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from cli.main import main
from cli.options import configured_domain, domain_of
from mailposture.config.model import Config

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = Config.model_validate({"domains": [{"name": "example.com"}, {"name": "bücher.example"}]})


@pytest.mark.parametrize("written", ["example.com", "EXAMPLE.com", "example.com."])
def test_case_and_trailing_dot_make_no_difference(written: str) -> None:
    assert domain_of(CONFIG, written) == "example.com"


@pytest.mark.parametrize("written", ["bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"])
def test_an_international_name_is_found_as_people_write_it(written: str) -> None:
    assert configured_domain(CONFIG, written).name == "xn--bcher-kva.example"


@pytest.mark.parametrize("written", ["mail.example.com", "other.example"])
def test_what_is_not_configured_is_wrong_usage(written: str) -> None:
    with pytest.raises(click.BadParameter, match="not among the configured domains"):
        domain_of(CONFIG, written)


@pytest.mark.parametrize("command", ["check", "records", "readiness", "senders", "policy"])
@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("192.0.2.1", "is an IP address"),
        ("[IPv6:2001:db8::1]", "is an IP address"),
        ("192.0.2", "ends in a number"),
        ("localhost", "is a name without a dot"),
        ("com", "is a name without a dot"),
        ("https://example.com", "is not a domain name"),
        ("exa mple.com", "is not a domain name"),
        ("", "is not a domain name"),
    ],
)
def test_what_receives_nobodys_mail_is_wrong_usage_of_each_command(
    tmp_path: Path, command: str, written: str, words: str
) -> None:
    """By the rule of the configuration, before any name is asked for."""
    (tmp_path / "mailposture.yaml").write_text("domains: [{name: example.com}]\n")
    done = CliRunner().invoke(main, [command, "--config", str(tmp_path / "mailposture.yaml"), written])
    assert done.exit_code == 2
    assert f"Invalid value: {written!r} {words}" in done.output


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("exmaple.com", "exmaple.com is not among the configured domains; did you mean example.com?"),
        ("mail.example.com", "mail.example.com is not among the configured domains; did you mean example.com?"),
        ("bücher.exmaple", "; did you mean xn--bcher-kva.example?"),
        ("zzz.test", "zzz.test is not among the configured domains (example.com, xn--bcher-kva.example)"),
        ("\x1b[2J", r"'\x1b[2J' is not a domain name"),
    ],
)
def test_the_near_name_is_offered_or_some_that_there_are(written: str, hint: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        domain_of(CONFIG, written)
    assert hint in caught.value.message
