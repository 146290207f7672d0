"""Names of domains, as people type them and as untrusted input has them."""

from __future__ import annotations

import pytest

from mailposture.domain_names import mail_domain, normalize, normalize_pattern, normalize_typed, normalize_typed_pattern


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
        ("\u212aelvin.example", "kelvin.example"),  # the sign, whose lower case is a k
    ],
)
def test_a_name_has_one_form(written: str, name: str) -> None:
    assert normalize_typed(written) == name
    assert normalize(written) == (name if written.isascii() else None), "only people write U-labels"


@pytest.mark.parametrize("written", ["", ".", "a..b", "-a.example", "exa mple.com", "https://example.com"])
def test_what_is_no_name_is_refused(written: str) -> None:
    assert normalize(written) is None
    assert normalize_typed(written) is None


@pytest.mark.parametrize(
    "written", ["\u0301a.example", "a\u200db.example", "☃.example", "ü" * 63 + ".example", "ü" * 254]
)
def test_what_no_registry_would_take_is_refused(written: str) -> None:
    assert normalize_typed(written) is None


def test_a_pattern_keeps_its_wildcard() -> None:
    assert normalize_typed_pattern("*.Mail.BÜCHER.example.") == "*.mail.xn--bcher-kva.example"
    assert normalize_pattern("*.Mail.Example.") == "*.mail.example"
    assert normalize_pattern("*.bücher.example") is None
    assert normalize_pattern("mail.*.example") is None


@pytest.mark.parametrize(
    "written", ["Example.COM.", "bücher.example", "mail.corp", "3com.example", "_mail.example.com"]
)
def test_a_domain_that_receives_mail_is_written_as_any_name(written: str) -> None:
    assert mail_domain(written) == normalize_typed(written)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("localhost", "'localhost' is a name without a dot"),
        ("com", "a top-level domain"),
        ("com.", "a top-level domain"),
        ("192.0.2.1", "'192.0.2.1' is an IP address"),
        ("[192.0.2.1]", "is an IP address"),
        ("[2001:db8::1]", "is an IP address"),
        ("[IPv6:2001:db8::1]", "is an IP address"),
        ("192.0.2.256", "ends in a number"),
        ("user@example.com", "is not a domain name; write what stands behind the @"),
    ],
)
def test_what_cannot_have_records_of_its_own_receives_no_mail(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"such as example\.com|write") as caught:
        mail_domain(written)
    assert reason in str(caught.value)
