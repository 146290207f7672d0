"""A domain on the command line means the configured one, however it is written."""

from __future__ import annotations

import click
import pytest

from cli.options import configured_domain, domain_of
from mailposture.config import Config

CONFIG = Config.model_validate({"domains": [{"name": "example.com"}, {"name": "bücher.example"}]})


@pytest.mark.parametrize("written", ["example.com", "EXAMPLE.com", "example.com."])
def test_case_and_trailing_dot_make_no_difference(written: str) -> None:
    assert domain_of(CONFIG, written) == "example.com"


@pytest.mark.parametrize("written", ["bücher.example", "BÜCHER.example.", "xn--bcher-kva.example"])
def test_an_international_name_is_found_as_people_write_it(written: str) -> None:
    assert configured_domain(CONFIG, written).name == "xn--bcher-kva.example"


@pytest.mark.parametrize("written", ["mail.example.com", "other.example", "https://example.com", "exa mple.com", ""])
def test_what_is_not_configured_is_wrong_usage(written: str) -> None:
    with pytest.raises(click.BadParameter, match="not among the configured domains"):
        domain_of(CONFIG, written)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("exmaple.com", "exmaple.com is not among the configured domains; did you mean example.com?"),
        ("mail.example.com", "mail.example.com is not among the configured domains; did you mean example.com?"),
        ("bücher.exmaple", "; did you mean xn--bcher-kva.example?"),
        ("zzz.test", "zzz.test is not among the configured domains (example.com, xn--bcher-kva.example)"),
        ("\x1b[2J", r"'\x1b[2J' is not among"),
    ],
)
def test_the_near_name_is_offered_or_some_that_there_are(written: str, hint: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        domain_of(CONFIG, written)
    assert hint in caught.value.message
