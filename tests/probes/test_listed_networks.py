"""What SPF records list: from DNS to rows, once a day, and which of it says something about who sends."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from ipaddress import IPv6Address, ip_network
from typing import TYPE_CHECKING, Any

from engine import DOMAIN, TODAY, days_ago
from outside import DOMAIN as OUTSIDE

from exporter.probes.dns import probe_dns
from exporter.probes.inserting import Inserting
from exporter.probes.listed import ListedNetworks
from mailposture.spf_networks import SpfNetwork
from reports.dmarc.catalogue import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine import Storage
    from outside import World

RECORD = "v=spf1 ip4:192.0.2.0/28 -all"


def network(text: str, *via: str) -> SpfNetwork:
    return SpfNetwork(ip_network(text), via)


def note(storage: Storage, *networks: SpfNetwork, day: date = TODAY) -> None:
    """As a probe of that day does."""
    listed = ListedNetworks(today=lambda: day)
    listed.note(DOMAIN, RECORD, networks)
    listed.write(Inserting(storage.config))


def seen(storage: Storage) -> list[tuple[Any, ...]]:
    return storage.ask(
        "SELECT toString(first_ip), toString(last_ip), via, shared_service, first_day, last_day FROM spf_networks"
        f" WHERE policy_domain = '{DOMAIN}' ORDER BY first_ip, via",
        "analyst",
    )


async def test_probe_reads_a_record_once_a_day_and_when_it_changes(world: World) -> None:
    day = [TODAY]
    context = replace(world.context(), listed=ListedNetworks(today=lambda: day[0]))
    written: list[tuple[Any, ...]] = []

    async def probe() -> int:
        """How many rows were new."""
        before = len(written)
        await probe_dns(world.domain, context)
        context.listed.write(lambda _, rows, __: written.extend(map(tuple, rows)))
        return len(written) - before

    world.zone.text = world.zone.text.replace("v=spf1 mx -all", "v=spf1 mx ip4:192.0.2.0/28 -all")
    assert await probe() == 2
    here = IPv6Address("::ffff:127.0.0.1")
    assert [(row[1], row[2], row[3], row[4]) for row in written] == [
        (here, here, ["mx1.example.test"], TODAY),
        (IPv6Address("::ffff:192.0.2.0"), IPv6Address("::ffff:192.0.2.15"), [], TODAY),
    ]
    assert {row[0] for row in written} == {OUTSIDE}
    assert await probe() == 0
    world.zone.text = world.zone.text.replace("ip4:192.0.2.0/28", "ip4:192.0.2.0/28 ip4:198.51.100.1")
    assert await probe() == 3
    day[0] += timedelta(days=1)
    assert await probe() == 3
    world.zone.broken.add(OUTSIDE)
    day[0] += timedelta(days=1)
    assert await probe() == 0, "what DNS does not say is not taken for gone"
    world.zone.broken.clear()
    assert await probe() == 3


def test_days_on_which_a_network_is_listed_are_kept(storage: Storage) -> None:
    for day in (5, 2, 5, 9):
        note(storage, network("192.0.2.0/28"), network("2001:db8::/64", "host.example.com"), day=days_ago(day))
    assert seen(storage) == [
        ("::ffff:192.0.2.0", "::ffff:192.0.2.15", [], "", days_ago(9), days_ago(2)),
        ("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", ["host.example.com"], "", days_ago(9), days_ago(2)),
    ]


def test_network_of_a_shared_service_is_marked_however_it_is_listed(storage: Storage) -> None:
    google = next(service for service in services() if service.name == "Google Workspace")
    note(
        storage,
        network("192.0.2.0/28", "_spf.google.com", "_netblocks.google.com"),
        network("192.0.2.16/28", "spf.example.com", "_spf.google.com"),
        network("192.0.2.32/28", "servers.mcsv.net"),  # everybody there sends in the name of a customer
        network("192.0.2.48/28", "google.com.example.net"),
        network(str(next(google.networks[0].subnets(prefixlen_diff=2)))),
    )
    services_by_ip = {row[0]: row[3] for row in seen(storage)}
    assert services_by_ip == {
        "::ffff:192.0.2.0": "Google Workspace",
        "::ffff:192.0.2.16": "Google Workspace",
        "::ffff:192.0.2.32": "",
        "::ffff:192.0.2.48": "",
        f"::ffff:{google.networks[0][0]}": "Google Workspace",
    }


def test_what_a_record_lists_waits_for_clickhouse_and_only_the_newest() -> None:
    listed = ListedNetworks(today=lambda: TODAY)
    written: list[Sequence[Any]] = []

    def refuse(*_: object) -> None:
        raise OSError("away")

    listed.note(DOMAIN, "v=spf1 old", [network("192.0.2.1")])
    listed.write(refuse)
    listed.note(DOMAIN, RECORD, [network("192.0.2.2")])
    listed.note("other.example", RECORD, [])
    listed.write(refuse)
    listed.write(lambda _, rows, __: written.extend(rows))
    assert [(row[0], row[1]) for row in written] == [(DOMAIN, IPv6Address("::ffff:192.0.2.2"))]
    listed.write(refuse)  # nothing waits
