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
