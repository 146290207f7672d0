"""An address in our SPF record is a sender of ours, even before it has passed; one of a shared service is not."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from engine import DOMAIN, days_ago
from test_dmarc_sources import ANYBODY, SERVER, failing, piles, sent

from exporter.probes.inserting import Inserting
from exporter.probes.listed import ListedNetworks
from mailposture.spf_networks import SpfNetwork

if TYPE_CHECKING:
    from engine import Storage


pytestmark = pytest.mark.slow


def listed(storage: Storage, network: str, *via: str, domain: str = DOMAIN, day: int = 0) -> None:
    """As the probe of a day notes it; sources are sorted again."""
    networks = ListedNetworks(today=lambda: days_ago(day))
    networks.note(domain, "v=spf1 …", [SpfNetwork(ip_network(network), via)])
    networks.write(Inserting(storage.config))
    storage.roll_up()


def evidence(storage: Storage) -> list[tuple[object, ...]]:
    return storage.ask("SELECT pile, evidence FROM dmarc_sources_daily ORDER BY pile")


@pytest.mark.parametrize(
    "via", [(), ("_spf.example.com",), ("spf.hoster.test", "a.hoster.test"), ("servers.mcsv.net",)]
)
def test_address_in_the_record_is_ours_before_it_has_passed(storage: Storage, via: tuple[str, ...]) -> None:
    storage.put("dmarc_records", failing(0), failing(1, ip=ANYBODY))
    assert [pile for pile, _ in evidence(storage)] == ["unknown", "unknown"]
    listed(storage, "192.0.2.0/28", *via)
    assert evidence(storage) == [
        ("ours-failing", "it failed, and the address is in your SPF record"),
        ("unknown", "nothing shows that it is yours: perhaps forged"),
    ]


def test_both_ends_of_a_network_are_in_it_and_ipv6_too(storage: Storage) -> None:
    inside = ("::ffff:192.0.2.16", "::ffff:192.0.2.31", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff")
    outside = ("::ffff:192.0.2.15", "::ffff:192.0.2.32", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:0:1::")
    storage.put("dmarc_records", *(failing(index, ip=ip) for index, ip in enumerate((*inside, *outside))))
    listed(storage, "192.0.2.16/28")
    listed(storage, "2001:db8::/64")
    ours = storage.ask("SELECT source_ip FROM dmarc_sources_daily WHERE pile = 'ours-failing'")
    assert {ip for (ip,) in ours} == {ip.removeprefix("::ffff:") for ip in inside}
    details = storage.ask("SELECT source_ip FROM dmarc_record_details")
    assert {ip for (ip,) in details} == {ip.removeprefix("::ffff:") for ip in (*inside, *outside)}


def test_dkim_alone_is_aligned_from_an_address_in_the_record(storage: Storage) -> None:
    storage.put("dmarc_records", sent(0, dkim=DOMAIN, aligned="dkim"))
    assert [pile for pile, _ in evidence(storage)] == ["forwarded"]
    listed(storage, "192.0.2.1/32")
    assert evidence(storage) == [("aligned", "DKIM passes as you, and the address is in your SPF record")]


@pytest.mark.parametrize(
    ("network", "via"),
    [
        ("192.0.2.0/28", ("_spf.google.com", "_netblocks.google.com")),
        ("192.0.2.0/28", ("amazonses.com",)),
        ("192.0.2.0/28", ("spf.example.com", "spf.protection.outlook.com")),
    ],
)
def test_record_that_includes_a_shared_service_says_nothing(
    storage: Storage, network: str, via: tuple[str, ...]
) -> None:
    storage.put("dmarc_records", failing(0), failing(1, spf="bounces.amazonses.com", dkim="amazonses.com"))
    before = piles(storage), evidence(storage)
    listed(storage, network, *via)
    assert (piles(storage), evidence(storage)) == before
    listed(storage, network)  # and so does the same network by name, which is the owner's own word
    assert ("192.0.2.0/24", "ours-failing", "not-authenticated", 10) in piles(storage)


def test_service_that_authenticates_it_as_itself_stays_possibly_ours(storage: Storage) -> None:
    storage.put("dmarc_records", failing(0, spf="bounces.amazonses.com", dkim="amazonses.com"))
    listed(storage, "192.0.2.1/32")
    assert [row[:2] for row in piles(storage)] == [("Amazon SES", "unknown")]


def test_record_speaks_for_its_own_domain_and_for_its_time(storage: Storage) -> None:
    storage.put(
        "dmarc_records",
        *(failing(number, day=days_ago(day)) for number, day in enumerate((1, 29, 32, 200))),
        failing(9, policy_domain="example.net", header_from="example.net"),
    )
    listed(storage, "192.0.2.0/28", day=1)
    ours = storage.ask("SELECT policy_domain, day FROM dmarc_sources_daily WHERE pile = 'ours-failing' ORDER BY day")
    assert ours == [(DOMAIN, days_ago(29)), (DOMAIN, days_ago(1))]
    listed(storage, "192.0.2.0/28", domain="example.net", day=1)
    assert ("example.net", days_ago(1)) in storage.ask(
        "SELECT policy_domain, day FROM dmarc_sources_daily WHERE pile = 'ours-failing'"
    )


def test_what_left_the_record_speaks_for_ninety_days(storage: Storage) -> None:
    listed(storage, "192.0.2.0/28", day=120)
    storage.put("dmarc_records", failing(0, ip=SERVER, day=days_ago(31)), failing(1, ip=SERVER, day=days_ago(29)))
    assert storage.ask("SELECT day, pile FROM dmarc_sources_daily ORDER BY day") == [
        (days_ago(31), "ours-failing"),
        (days_ago(29), "unknown"),
    ]
