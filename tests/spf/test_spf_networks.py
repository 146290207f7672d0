"""The networks that an SPF record lists: what receivers would let send, and nothing that says nothing."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from test_spf import Dns

from mailposture.spf import MOST_QUESTIONS, SpfOutcome, evaluate
from mailposture.spf_networks import MOST_NETWORKS, listed_networks

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "example.com"


async def listed(record: str, zone: dict[str, list[Any]] | None = None, *, dns: Dns | None = None) -> dict[str, str]:
    """Networks with the names through which they are listed."""
    asked = dns or Dns({NAME: [{"TXT": record}], **(zone or {})})
    found = await listed_networks(NAME, ask=asked, seconds=20)
    return {str(each.network): " ".join(each.via) for each in found}


HOSTS: dict[str, list[Any]] = {
    "a.example.com": [{"A": "198.51.100.7"}, {"AAAA": "2001:db8::7"}],
    "mx.example.net": [{"A": "203.0.113.9"}],
    "example.net": [{"MX": [10, "mx.example.net"]}],
    "vendor.test": [{"TXT": "v=spf1 ip4:192.0.2.0/25 include:deep.test ~all"}],
    "deep.test": [{"TXT": "v=spf1 ip6:2001:db8:1::/48 -all"}],
}


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ("v=spf1 ip4:192.0.2.1 ip4:192.0.2.9/28 -all", {"192.0.2.1/32": "", "192.0.2.0/28": ""}),
        ("v=spf1 a:a.example.com/24 -all", {"198.51.100.0/24": "a.example.com", "2001:db8::7/128": "a.example.com"}),
        ("v=spf1 mx:example.net -all", {"203.0.113.9/32": "example.net mx.example.net"}),
        (
            "v=spf1 include:vendor.test -all",
            {"192.0.2.0/25": "vendor.test", "2001:db8:1::/48": "vendor.test deep.test"},
        ),
        ("v=spf1 redirect=deep.test", {"2001:db8:1::/48": "deep.test"}),
        ("v=spf1 -all ip4:192.0.2.1", {}),
        ("v=spf1 ?ip4:192.0.2.1 ~ip4:192.0.2.2 -all", {}),
        ("v=spf1 -ip4:192.0.2.3 ip4:192.0.2.0/24 ip4:198.51.100.0/24 -all", {"198.51.100.0/24": ""}),
        ("v=spf1 -include:vendor.test ip4:192.0.2.0/24 ip4:203.0.113.1 -all", {"203.0.113.1/32": ""}),
        ("v=spf1 exists:%{i}.example.com ptr a:%{d1}.example.com ip4:192.0.2.1 -all", {"192.0.2.1/32": ""}),
        ("v=spf1 ip4:192.0.2.1 +all", {}),
        ("v=spf1 ip4:10.0.0.0/8 ip6:2001:db8::/29 ip4:192.0.2.1 -all", {"192.0.2.1/32": ""}),
        ("v=spf1 ip4:192.0.2.1 nonsense:x -all", {}),
        ("v=spf1 ip4:192.0.2.1 include:gone.test ip4:192.0.2.2 -all", {"192.0.2.1/32": ""}),
        ("v=spf10 ip4:192.0.2.1 -all", {}),
        ("nothing", {}),
    ],
)
async def test_networks_of_a_record(record: str, wanted: dict[str, str]) -> None:
    assert await listed(record, HOSTS) == wanted


async def test_address_that_is_listed_passes_and_its_neighbours_do_not() -> None:
    """Receivers' evaluation and the list agree, at both ends of every network."""
    record = (
        "v=spf1 ?ip4:192.0.2.64/26 include:vendor.test a:a.example.com/30 mx:example.net ip6:2001:db8:2::/64 "
        "-ip4:198.51.100.128/25 ip4:203.0.113.0/29 ~all"
    )
    dns = Dns({NAME: [{"TXT": record}], **HOSTS})
    networks = [each.network for each in await listed_networks(NAME, ask=dns, seconds=20)]
    assert len(networks) >= 6
    for network in networks:
        for address in (network[0], network[-1], network[0] - 1, network[-1] + 1):
            passes = (await evaluate(client=str(address), sender=NAME, ask=dns, seconds=20)).outcome is SpfOutcome.PASS
            assert passes or not any(address in each for each in networks), address
            if address in network:
                assert passes, address


async def test_same_network_listed_by_two_ways_is_there_by_both() -> None:
    zone: dict[str, list[Any]] = {"vendor.test": [{"TXT": "v=spf1 ip4:192.0.2.1 -all"}]}
    dns = Dns({NAME: [{"TXT": "v=spf1 include:vendor.test ip4:192.0.2.1 ip4:192.0.2.1 -all"}], **zone})
    found = await listed_networks(NAME, ask=dns, seconds=20)
    assert [each.via for each in found] == [("vendor.test",), ()]


async def test_record_without_end_is_read_within_bounds() -> None:
    loop = Dns({NAME: [{"TXT": f"v=spf1 ip4:192.0.2.1 include:{NAME} -all"}]})
    assert await listed("", dns=loop) == {"192.0.2.1/32": ""}
    assert loop.asked <= 11
    hosts = {f"m{number}.test": [{"A": "192.0.2.1"}] for number in range(10)}
    mails = {f"d{number}.test": [{"MX": [1, host]} for host in hosts] for number in range(10)}
    many = Dns({NAME: [{"TXT": "v=spf1 " + " ".join(f"mx:{name}" for name in mails) + " -all"}], **hosts, **mails})
    assert await listed("", dns=many)
    assert many.asked <= MOST_QUESTIONS
    long = " ".join(f"ip4:10.{number // 256}.{number % 256}.0/24" for number in range(2 * MOST_NETWORKS))
    assert len(await listed(f"v=spf1 {long} -all")) == MOST_NETWORKS


async def test_record_that_breaks_off_lists_what_was_read() -> None:
    zone: dict[str, list[Any]] = {"vendor.test": ["TIMEOUT"]}
    wanted = {"192.0.2.1/32": ""}
    assert await listed("v=spf1 ip4:192.0.2.1 include:vendor.test -all", zone) == wanted

    async def silent(name: str, record_type: str) -> Sequence[str]:
        if name == NAME:
            return ["v=spf1 ip4:192.0.2.1 include:vendor.test -all"]
        return await asyncio.Future()

    found = await listed_networks(NAME, ask=silent, seconds=0.01)
    assert [(each.network[0], each.via) for each in found] == [(ip_address("192.0.2.1"), ())]
