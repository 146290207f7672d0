"""Senders that the configuration names: whose mail is theirs, and which names are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine import DOMAIN
from test_dmarc_sources import ANYBODY, FORWARDER, SERVER, configure, failing, piles, sent

from mailposture.config.model import Config
from mailposture.problems import ConfigError
from reports.configuration import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from engine import Storage


@pytest.mark.slow
def test_configured_senders_are_ours_by_address_and_by_service(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        failing(0, ip="::ffff:203.0.113.77"),
        failing(1, ip="2001:db8:0:1::25"),
        failing(2, ip="::ffff:203.0.113.128"),
        failing(3, ip=ANYBODY, dkim="amazonses.com", messages=1),
    )
    assert {pile for _, pile, *_ in piles(storage)} == {"unknown"}
    configure(
        storage,
        {"name": "Old billing server", "addresses": ["203.0.113.64/26", "2001:db8:0:1::/64"]},
        {"name": "Notices", "services": ["amazon ses"]},
    )
    assert piles(storage) == [
        ("203.0.113.0/24", "unknown", "not-authenticated", 10),
        ("Amazon SES", "ours-failing", "dkim-other-domain", 1),
        ("Old billing server", "ours-failing", "not-authenticated", 20),
    ]
    ((evidence,),) = storage.ask("SELECT evidence FROM dmarc_sources_daily WHERE source = 'Amazon SES'")
    assert evidence == (
        "it failed, and Amazon SES is a sender in the configuration, though other customers of it may send too"
    )
    configure(storage)
    assert {pile for _, pile, *_ in piles(storage)} == {"unknown"}


@pytest.mark.slow
def test_of_senders_whose_networks_overlap_the_smallest_is_named(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        failing(0, ip="::ffff:203.0.113.5"),
        failing(1, ip="::ffff:203.0.113.255", messages=1),
        failing(2, ip="::ffff:203.0.0.1", messages=2),
        failing(3, ip="2001:db8::1", messages=3),
    )
    named = [
        {"name": "Everything", "addresses": ["203.0.0.0/16", "2001:db8::/31"]},
        {"name": "First", "addresses": ["203.0.113.0/28", "2001:db8::/126"]},
        {"name": "Last", "addresses": ["203.0.113.240/28"]},
        {"name": "Office", "addresses": ["203.0.113.0/24", "2001:db8::/32"]},
    ]
    for senders in (named, named[::-1]):
        configure(storage, *senders)
        assert [(source, messages) for source, *_, messages in piles(storage)] == [
            ("Everything", 2),
            ("First", 13),
            ("Last", 1),
        ]


@pytest.mark.parametrize("network", ["0.0.0.0/0", "128.0.0.0/1", "::/0", "::/16", "::ffff:192.0.2.0/120"])
def test_networks_that_would_make_forgeries_ours_are_refused(network: str) -> None:
    senders = [{"name": "All", "addresses": [network]}]
    with pytest.raises(ValueError, match=r"All: .* (wider than|IPv4 addresses)"):
        Config.model_validate({"domains": [{"name": DOMAIN, "senders": senders}]})


@pytest.mark.slow
def test_configured_sender_is_ours_by_the_domain_that_its_mail_authenticates_as(storage: Storage) -> None:
    rows = (
        failing(0, ip=ANYBODY, dkim="vendor.example"),
        failing(1, ip=FORWARDER, spf="bounce.vendor.example"),
        failing(2, ip=SERVER, spf="bounce.notvendor.example"),
        sent(3, ip=ANYBODY, dkim=f"{DOMAIN} vendor.example", aligned="dkim"),
    )
    storage.put("dmarc_records", *rows)
    configure(storage, {"name": "Vendor", "domains": ["vendor.example"]})
    assert piles(storage) == [
        ("Vendor", "aligned", "", 10),
        ("Vendor", "ours-failing", "dkim-other-domain", 10),
        ("Vendor", "ours-failing", "spf-other-domain", 10),
        ("notvendor.example", "unknown", "spf-other-domain", 10),
    ]
    ((evidence,),) = storage.ask(
        "SELECT DISTINCT evidence FROM dmarc_sources_daily WHERE source = 'Vendor' AND pile = 'ours-failing'"
    )
    assert evidence == "it failed, and it authenticates as a domain of Vendor, a sender in the configuration"


@pytest.mark.parametrize(
    ("domain", "fault"),
    [
        ("co.uk", "News: anybody can have a domain below co.uk: forgeries would be taken for yours"),
        ("bounces.mcsv.net", r"News: bounces.mcsv.net is of Mailchimp: write services: \[Mailchimp\]"),
        ("no domain", "News|domains"),
    ],
)
def test_domain_that_names_no_sender_is_a_fault_of_the_configuration(tmp_path: Path, domain: str, fault: str) -> None:
    path = tmp_path / "mailposture.yaml"
    path.write_text(f"domains:\n- {{name: example.com, senders: [{{name: News, domains: ['{domain}']}}]}}\n")
    with pytest.raises(ConfigError, match=fault):
        load_config(path)


def test_service_that_the_catalogue_does_not_have_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "mailposture.yaml"
    path.write_text("domains:\n- {name: example.com, senders: [{name: News, services: [Mailchmp]}]}\n")
    with pytest.raises(ConfigError, match=r"example.com: senders: News: 'Mailchmp' is no service .*mean Mailchimp\?"):
        load_config(path)
    path.write_text("domains:\n- {name: example.com, senders: [{name: News}]}\n")
    with pytest.raises(ConfigError, match=r"mailposture.yaml:2: .*News has no `addresses`, `domains` or `services`"):
        load_config(path)
