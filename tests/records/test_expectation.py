"""What the configuration expects of a domain."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mailposture.config.model import Config
from mailposture.expectation import Expectation, expectation


def expected(domain: dict[str, Any], **sections: Any) -> Expectation:
    """Of the only domain of a configuration."""
    config = Config.model_validate({"domains": [{"name": "example.com", **domain}], **sections})
    return expectation(config, config.domains[0])


def test_domain_that_receives_mail_is_to_ask_for_reports_that_reach_us() -> None:
    ours = expected(
        {"token": "0123456789abcdef"}, https={"public_url": "https://r.example"}, recipients=["T@r.example"]
    )
    assert ours.parked is False
    assert ours.probes == ("dns", "mta-sts", "mx")
    assert ours.reports
    assert [record.name for record in ours.records] == [
        "_smtp._tls.example.com",
        "_dmarc.example.com",
        "example.com._report._dmarc.r.example",
    ]
    for uri in (
        "mailto:t@r.example",
        "mailto:%54@R.example?subject=x",
        "https://r.example/v1/tls-reports/0123456789abcdef",
    ):
        assert ours.reaches_us(uri), uri
    for uri in ("mailto:x@r.example", "https://r.example/v1/tls-reports/other", "t@r.example", "https:t@r.example"):
        assert not ours.reaches_us(uri), uri


def test_parked_domain_publishes_that_it_has_no_mail_and_expects_no_reports() -> None:
    parked = expected({"parked": True}, recipients=["r@mail.example.com", "dmarc@r.example"])
    assert [(record.name, record.type, record.value) for record in parked.records] == [
        ("example.com", "MX", "0 ."),
        ("example.com", "TXT", "v=spf1 -all"),
        ("_dmarc.example.com", "TXT", "v=DMARC1; p=reject; sp=reject; rua=mailto:dmarc@r.example"),
        ("*._domainkey.example.com", "TXT", "v=DKIM1; p="),
        ("example.com._report._dmarc.r.example", "TXT", "v=DMARC1"),
    ]
    assert not parked.reports
    assert parked.policy is None
    assert parked.probes == ("dns",)


def test_policy_of_a_domain_that_is_parked_now_can_still_be_withdrawn() -> None:
    parked = expected({"parked": True, "mta_sts": {"mode": "none", "max_age": 86_400}}, recipients=["r@r.example"])
    assert parked.policy is not None
    assert parked.probes == ("dns", "mta-sts")
    assert [record.name for record in parked.records[4:6]] == ["mta-sts.example.com", "_mta-sts.example.com"]


@pytest.mark.parametrize("domain", [{"mx": ["mx.example.com"]}, {"mta_sts": {"mode": "testing", "mx": ["a.example"]}}])
def test_domain_cannot_be_parked_and_receive(domain: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"example.com is parked, so it takes no mail; take out m"):
        expected({"parked": True, **domain})


def test_domain_cannot_be_parked_and_send() -> None:
    senders = [{"name": "Billing", "addresses": ["192.0.2.1"]}]
    with pytest.raises(ValidationError, match=r"example.com is parked, so nobody sends mail in its name; take out s"):
        expected({"parked": True, "senders": senders})


@pytest.mark.parametrize("recipients", [[], ["dmarc@example.com", "r@sub.example.com"]])
def test_reports_about_a_parked_domain_need_an_address_of_one_that_takes_mail(recipients: list[str]) -> None:
    with pytest.raises(
        ValidationError, match=r"(?s)example.com is parked, so .* no address .* add a domain that takes"
    ):
        expected({"parked": True}, recipients=recipients)


def parked_among(*names: str, **sections: Any) -> Expectation:
    """Of parked.example, beside domains that take mail."""
    domains = [{"name": "parked.example", "parked": True}, *({"name": name} for name in names)]
    config = Config.model_validate({"domains": domains, **sections})
    return expectation(config, config.domains[0])


def test_reports_about_a_parked_domain_go_to_the_first_that_takes_mail() -> None:
    parked = parked_among("example.com", "example.org")
    assert parked.dmarc_destinations == ("mailto:dmarc@example.com",)
    assert parked.records[-1].name == "parked.example._report._dmarc.example.com"
    assert parked.records[-1].domain == "example.com"
    assert parked.reaches_us("mailto:dmarc@example.org"), "which takes them too"
    assert not parked.reaches_us("mailto:dmarc@parked.example"), "which takes no mail"


def test_domain_below_one_that_takes_mail_needs_no_authorization() -> None:
    names = [{"name": "example.org"}, {"name": "example.com"}, {"name": "old.example.com", "parked": True}]
    config = Config.model_validate({"domains": names})
    parked = expectation(config, config.domains[2])
    assert parked.dmarc_destinations == ("mailto:dmarc@example.com",)
    assert not [record for record in parked.records if "_report" in record.name]


def test_what_comes_to_a_parked_domain_in_spite_of_all_is_accepted() -> None:
    names = [{"name": "example.com"}, {"name": "parked.example", "parked": True}]
    accepted = Config.model_validate({"domains": names}).accepted_recipients()
    assert accepted == {
        f"{local}@{name}" for local in ("tlsrpt", "dmarc") for name in ("example.com", "parked.example")
    }


def test_what_follows_from_domains_follows_from_those_of_a_copy() -> None:
    config = Config.model_validate({"domains": [{"name": "a.example"}, {"name": "b.example"}]})
    assert config.by_name.keys() == {"a.example", "b.example"}
    assert config.model_copy(update={"domains": config.domains[:1]}).by_name.keys() == {"a.example"}


def test_dmarc_reports_are_asked_for_where_they_are_taken() -> None:
    assert expected({}).dmarc_destinations == ("mailto:dmarc@example.com",)
    both = expected({}, recipients=["a@example.com", "dmarc@example.com", "tlsrpt@example.com", "dmarc@r.example"])
    assert (both.destinations, both.dmarc_destinations) == (
        ("mailto:tlsrpt@example.com",),
        ("mailto:dmarc@example.com",),
    )


IMAP = {"host": "imap.provider.example", "user": "R@provider.example", "password_file": "pw"}
OAUTH = {"token_url": "https://login.example/token", "client_id": "x", "client_secret_file": "s"}


@pytest.mark.parametrize(
    ("mailboxes", "address"),
    [
        ({"imap": [IMAP]}, "r@provider.example"),
        ({"imap": [{**IMAP, "user": "r", "address": "tls@provider.example"}]}, "tls@provider.example"),
        ({"imap": [{**IMAP, "address": "tls@provider.example"}]}, "tls@provider.example"),
        ({"imap": [{**IMAP, "user": "EXAMPLE\\r"}]}, "tlsrpt@example.com"),  # nothing says where its mail goes
        ({"graph": [{"user": "r@firm.example", "oauth": OAUTH}]}, "r@firm.example"),
        ({"maildir": [{"path": "/var/mail/r", "address": "r@mail.example"}]}, "r@mail.example"),
        ({"imap": [IMAP, {**IMAP, "user": "tlsrpt@provider.example"}]}, "tlsrpt@provider.example"),
        ({"imap": [IMAP], "recipients": ["tlsrpt@example.com"]}, "tlsrpt@example.com"),
    ],
)
@pytest.mark.parametrize("smtp", [{"listen": None}, {}])
def test_reports_are_asked_for_at_the_address_of_the_mailbox_that_is_read(
    mailboxes: dict[str, Any], address: str, smtp: dict[str, Any]
) -> None:
    found = expected({}, smtp=smtp, **mailboxes)
    assert found.destinations == (f"mailto:{address}",)
    assert found.reaches_us(f"mailto:{address}")
    record = found.record("_smtp._tls.example.com")
    assert record is not None
    assert record.value == f"v=TLSRPTv1; rua=mailto:{address}"


def test_an_address_that_nobody_reads_does_not_reach_us() -> None:
    assert not expected({}, smtp={"listen": None}, imap=[IMAP]).reaches_us("mailto:tlsrpt@example.com")
    assert expected({}, imap=[IMAP]).reaches_us("mailto:tlsrpt@example.com"), "by the listener"
    both = expected({}, recipients=["a@example.com"], imap=[IMAP])
    assert both.reaches_us("mailto:a@example.com")
    assert both.reaches_us("mailto:r@provider.example")


def test_parked_domain_takes_no_reports_itself() -> None:
    elsewhere = expected({"parked": True}, recipients=["dmarc@example.com", "r@r.example"])
    assert elsewhere.dmarc_destinations == ("mailto:r@r.example",)


@pytest.mark.parametrize(
    ("recipient", "name", "zone"),
    [
        ("r@reports.example.net", "example.com._report._dmarc.reports.example.net", "example.net"),
        ("r@other.example", "example.com._report._dmarc.other.example", None),
        ("r@mail.example.com", None, None),  # the same organization
        ("r@example.co.uk", "example.com._report._dmarc.example.co.uk", None),
    ],
)
def test_address_of_another_organization_needs_a_record_that_says_so(
    recipient: str, name: str | None, zone: str | None
) -> None:
    config = Config.model_validate(
        {"domains": [{"name": "example.com"}, {"name": "example.net"}], "recipients": [recipient]}
    )
    found = [one for one in expectation(config, config.domains[0]).records if "_report" in one.name]
    assert [(one.name, one.value, one.domain) for one in found] == ([(name, "v=DMARC1", zone)] if name else [])


def test_nothing_is_expected_of_a_domain_that_is_not_ours() -> None:
    other = Expectation(domain="example.net")
    assert (other.parked, other.records, other.reports, other.policy_body) == (None, (), False, None)
