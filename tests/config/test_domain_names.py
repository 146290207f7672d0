"""Names of domains, as people and strangers write them."""

from __future__ import annotations

import pytest

from mailposture.domain_names import normalize, normalize_pattern


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Example.COM.", "example.com"),
        ("_smtp._tls.example.com", "_smtp._tls.example.com"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example"),
        ("тест.рф", "xn--e1aybc.xn--p1ai"),
        ("faß.de", "xn--fa-hia.de"),  # fass.de is another's
        ("\uff41.example", "a.example"),  # a of full width
    ],
)
def test_a_name_has_one_form(written: str, name: str) -> None:
    assert normalize(written) == name


@pytest.mark.parametrize("written", ["", ".", "a..b", "-a.example", "exa mple.com", "https://example.com"])
def test_what_is_no_name_is_refused(written: str) -> None:
    assert normalize(written) is None


@pytest.mark.parametrize(
    "written", ["\u0301a.example", "a\u200db.example", "☃.example", "ü" * 63 + ".example", "ü" * 254]
)
def test_what_no_registry_would_take_is_refused(written: str) -> None:
    assert normalize(written) is None


def test_a_pattern_keeps_its_wildcard() -> None:
    assert normalize_pattern("*.Mail.BÜCHER.example.") == "*.mail.xn--bcher-kva.example"
    assert normalize_pattern("mail.*.example") is None
