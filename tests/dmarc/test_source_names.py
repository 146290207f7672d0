"""Names of addresses: asked of a DNS server on loopback, kept in the real engine, shown by the real view."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from clock import NOW, REAL_TODAY
from engine import DOMAIN, set_clock
from eventually import eventually
from loopback_dns import Zone, serving
from mmdb import mmdb
from test_dmarc_sources import failing, sent

from collector.ingest.afterwards import Afterwards
from mailposture.checks.resolver import Resolver, Status
from mailposture.problems import ProblemError
from reports.dmarc.naming import name_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine import Storage

    from mailposture.config.model import Config


ZONE = r"""
1.2.0.192.in-addr.arpa. 60 IN PTR mail.agency.example.co.uk.
mail.agency.example.co.uk. 60 IN A 192.0.2.1
2.2.0.192.in-addr.arpa. 60 IN PTR www.google.com.
www.google.com. 60 IN A 192.0.2.99
3.2.0.192.in-addr.arpa. 60 IN PTR o1.ptr.sendgrid.net.
o1.ptr.sendgrid.net. 60 IN A 192.0.2.3
7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR six.example.org.
six.example.org. 60 IN AAAA 2001:db8::7
"""
HOSTILE = ("<script>.example.", r"a\032b.example.", "aXXXb.example.", "localhost.", "1.2.3.4.", "*.example.")


@pytest.fixture
def zone() -> Zone:
    return Zone(ZONE)


@pytest.fixture
def config(storage: Storage, zone: Zone) -> Iterator[Config]:
    """With reverse names, from the nameserver of the test."""
    with serving(zone) as port:
        asking = storage.config.authentication.model_copy(update={"nameservers": (f"127.0.0.1@{port}",)})
        names = storage.config.source_names.model_copy(update={"reverse_dns": True})
        yield storage.config.model_copy(update={"authentication": asking, "source_names": names})


def shown(storage: Storage) -> list[tuple[str, str, str]]:
    storage.roll_up()
    return storage.ask("SELECT source_ip, source, source_kind FROM dmarc_sources_daily ORDER BY source_ip")


def test_names_that_lead_back_are_shown(storage: Storage, config: Config) -> None:
    addresses = ("::ffff:192.0.2.1", "::ffff:192.0.2.2", "::ffff:192.0.2.3", "::ffff:192.0.2.4", "2001:db8::7")
    storage.put("dmarc_records", *(failing(number, ip=address) for number, address in enumerate(addresses)))
    name_sources(storage.unsorted(), config, NOW)
    assert shown(storage) == [
        ("192.0.2.1", "example.co.uk", "host"),
        ("192.0.2.2", "192.0.2.0/24", "network"),
        ("192.0.2.3", "Twilio SendGrid", "service"),
        ("192.0.2.4", "192.0.2.0/24", "network"),
        ("2001:db8::7", "example.org", "host"),
    ]


@pytest.mark.slow
def test_name_is_no_evidence_but_of_sharing(storage: Storage, config: Config) -> None:
    shared = "::ffff:192.0.2.3"
    storage.put("dmarc_records", sent(0, ip=shared, spf=DOMAIN, aligned="spf"), failing(1, ip=shared))
    failed = "SELECT source, pile FROM dmarc_sources_daily WHERE passed_messages = 0"
    assert storage.ask(failed) == [("192.0.2.0/24", "ours-failing")]
    name_sources(storage.unsorted(), config, NOW)
    storage.roll_up()
    assert storage.ask(failed) == [("Twilio SendGrid", "unknown")]


def test_what_is_no_host_name_is_never_shown(storage: Storage, config: Config, zone: Zone) -> None:
    addresses = [f"192.0.2.{number}" for number, _ in enumerate(HOSTILE, 1)]
    asked = [f"{number}.2.0.192.in-addr.arpa." for number, _ in enumerate(HOSTILE, 1)]
    zone.text = "".join(
        f"{reverse} 60 IN PTR {name}\n{name} 60 IN A {address}\n"
        for address, reverse, name in zip(addresses, asked, HOSTILE, strict=True)
    )
    zone.garble = lambda _, wire: wire.replace(b"aXXXb", "a\u202eb".encode())  # on the wire: dnslib would not write it
    resolver = Resolver(nameservers=config.authentication.nameservers)
    for reverse in asked:
        assert asyncio.run(resolver.lookup(reverse, "PTR")).status is Status.FOUND
    storage.put("dmarc_records", *(failing(number, ip=f"::ffff:{ip}") for number, ip in enumerate(addresses)))
    name_sources(storage.unsorted(), config, NOW)
    assert shown(storage) == [(address, "192.0.2.0/24", "network") for address in addresses]


@pytest.mark.slow
def test_answers_are_kept_a_month_and_silence_some_hours(storage: Storage, config: Config, zone: Zone) -> None:
    storage.put("dmarc_records", failing(0), failing(1, ip="::ffff:192.0.2.4"))
    zone.broken.add("1.2.0.192.in-addr.arpa")
    name_sources(storage.unsorted(), config, NOW)
    zone.broken.clear()
    zone.asked.clear()
    name_sources(storage.unsorted(), config, NOW + timedelta(hours=5))
    assert zone.asked == []
    name_sources(storage.unsorted(), config, NOW + timedelta(hours=7))
    assert ("1.2.0.192.in-addr.arpa", "PTR") in zone.asked
    assert ("4.2.0.192.in-addr.arpa", "PTR") not in zone.asked
    assert shown(storage)[0] == ("192.0.2.1", "example.co.uk", "host")
    name_sources(storage.unsorted(), config, NOW + timedelta(days=29))
    assert ("4.2.0.192.in-addr.arpa", "PTR") not in zone.asked


@pytest.mark.slow
def test_a_round_takes_the_addresses_with_most_messages(
    storage: Storage, config: Config, zone: Zone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.dmarc.naming._ROUND", 1)
    storage.put("dmarc_records", failing(0, ip="::ffff:192.0.2.4"), failing(1, messages=11))
    assert name_sources(storage.unsorted(), config, NOW) < 60
    assert {name for name, kind in zone.asked if kind == "PTR"} == {"1.2.0.192.in-addr.arpa"}


def test_names_of_addresses_that_send_no_more_are_deleted(storage: Storage, config: Config) -> None:
    storage.put("dmarc_records", failing(0))
    name_sources(storage.unsorted(), config, NOW)
    name_sources(storage.unsorted(), config, NOW + timedelta(days=120))
    assert storage.ask("SELECT count() FROM mailposture_tables.sender_names") == [(0,)]


def test_without_the_configuration_nothing_is_asked(storage: Storage, zone: Zone, config: Config) -> None:
    storage.put("dmarc_records", failing(0))
    name_sources(storage.unsorted(), storage.config.model_copy(update={"authentication": config.authentication}), NOW)
    assert zone.asked == []


@pytest.mark.slow
def test_ingest_names_sources_in_a_thread_of_its_own(storage: Storage, config: Config) -> None:
    set_clock(storage.client(), storage.config, datetime.now(UTC))
    storage.put("dmarc_records", {**failing(0), "day": REAL_TODAY})
    afterwards = Afterwards(config)
    afterwards.start()
    try:
        eventually("a name", lambda: shown(storage) == [("192.0.2.1", "example.co.uk", "host")])
    finally:
        afterwards.stop()


@pytest.mark.slow
def test_networks_of_a_file_name_what_has_no_reverse_name(storage: Storage, config: Config, tmp_path: Path) -> None:
    file = tmp_path / "asn.mmdb"
    file.write_bytes(
        mmdb(
            {
                "192.0.2.0/25": {
                    "autonomous_system_number": 64496,
                    "autonomous_system_organization": "Example Hosting",
                },
                "203.0.113.0/24": {"as_name": "Hostile\u202e \x07" + "x" * 100},
                "2001:db8::/32": {"asn": "AS64497"},
            }
        )
    )
    addresses = ("::ffff:192.0.2.1", "::ffff:192.0.2.4", "::ffff:192.0.2.200", "::ffff:203.0.113.9", "2001:db8::8")
    storage.put("dmarc_records", *(failing(number, ip=address) for number, address in enumerate(addresses)))
    names = config.source_names.model_copy(update={"networks": file})
    name_sources(storage.unsorted(), config.model_copy(update={"source_names": names}), NOW)
    assert shown(storage) == [
        ("192.0.2.1", "example.co.uk", "host"),
        ("192.0.2.200", "192.0.2.0/24", "network"),
        ("192.0.2.4", "Example Hosting", "network"),
        ("2001:db8::8", "2001:db8::/48", "network"),
        ("203.0.113.9", f"Hostile {'x' * 52}", "network"),
    ]


@pytest.mark.parametrize("content", [None, b"", b"no database", bytes(1000)])
def test_file_of_networks_that_cannot_be_read_is_named(
    storage: Storage, config: Config, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "asn.mmdb"
    if content is not None:
        file.write_bytes(content)
    storage.put("dmarc_records", failing(0))
    names = config.source_names.model_copy(update={"networks": file})
    with pytest.raises(ProblemError, match=r"source_names.networks: .*asn.mmdb cannot be read"):
        name_sources(storage.unsorted(), config.model_copy(update={"source_names": names}), NOW)
