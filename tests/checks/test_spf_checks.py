"""The SPF record, followed to its end over a real DNS server; checkdmarc judges the same records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from checkdmarc.spf import SPFTooManyDNSLookups, SPFTooManyVoidDNSLookups, parse_spf_record
from dns.nameserver import Do53Nameserver

from mailposture.checks.result import Outcome
from mailposture.checks.spf import check_spf

if TYPE_CHECKING:
    from loopback_dns import Zone

    from mailposture.checks.resolver import Resolver

DOMAIN = "example.test"


def txt(name: str, *texts: str) -> str:
    return "".join(f'{name}. 60 IN TXT "{text}"\n' for text in texts)


MANY = txt(DOMAIN, "v=spf1 " + " ".join(f"include:s{number}.test" for number in range(6)) + " -all") + "".join(
    txt(f"s{number}.test", "v=spf1 a:host.test -all") for number in range(6)
)
VOID = txt(DOMAIN, "v=spf1 a:x.test mx:y.test a:z.test -all")
HOST = "host.test. 60 IN A 192.0.2.200\n"


@pytest.mark.parametrize(
    ("zone_text", "parked", "outcome", "reason"),
    [
        (txt(DOMAIN, "v=spf1 -all"), True, Outcome.GOOD, None),
        (txt(DOMAIN, "v=spf1 mx -all"), True, Outcome.WRONG, "parked-but-sends"),
        (txt(DOMAIN, "v=spf1 +all"), False, Outcome.WRONG, "everybody-may-send"),
        (txt(DOMAIN, "v=spf1 all"), False, Outcome.WRONG, "everybody-may-send"),
        (txt(DOMAIN, "v=spf1 ip4:0.0.0.0/0 -all"), False, Outcome.WRONG, "everybody-may-send"),
        (txt(DOMAIN, "v=spf1 include:v.test -all") + txt("v.test", "v=spf1 +all"), False, Outcome.WRONG, None),
        (txt(DOMAIN, "v=spf1 redirect=v.test") + txt("v.test", "v=spf1 +all"), False, Outcome.WRONG, None),
        (txt(DOMAIN, "v=spf1 include:v.test -all") + txt("v.test", "v=spf1 ?all"), False, Outcome.GOOD, None),
        (txt(DOMAIN, "v=spf1 -all", "v=spf1 mx -all"), False, Outcome.WRONG, "several-records"),
        (txt(DOMAIN, "v=spf10 -all"), False, Outcome.MISSING, "no-record"),
        (txt(DOMAIN, "v=spf1 include:gone.test -all"), False, Outcome.WRONG, "record-invalid"),
        (txt(DOMAIN, "v=spf1 ipv4:192.0.2.0/24 -all"), False, Outcome.WRONG, "record-invalid"),
        (MANY + HOST, False, Outcome.WRONG, "too-many-lookups"),
        (VOID, False, Outcome.WRONG, "too-many-void-lookups"),
        (txt(DOMAIN, "v=spf1 a:x.test mx:y.test -all"), False, Outcome.GOOD, None),
    ],
)
async def test_record(
    *, resolver: Resolver, zone: Zone, zone_text: str, parked: bool, outcome: Outcome, reason: str | None
) -> None:
    zone.text = zone_text
    result = await check_spf(DOMAIN, parked=parked, resolver=resolver)
    assert result.outcome == outcome, result
    assert result.reason == (reason or (None if outcome is Outcome.GOOD else "everybody-may-send"))


async def test_how_many_look_ups_are_needed_is_said(resolver: Resolver, zone: Zone) -> None:
    zone.text = MANY + HOST
    assert "needs 12 look-ups" in (await check_spf(DOMAIN, parked=False, resolver=resolver)).detail
    zone.text = txt(DOMAIN, "v=spf1 a mx include:s1.test -all") + txt("s1.test", "v=spf1 -all") + HOST
    found = await check_spf(DOMAIN, parked=False, resolver=resolver)
    assert found.detail.endswith("3 of 10 look-ups")
    assert found.published == "v=spf1 a mx include:s1.test -all"


@pytest.mark.parametrize(
    ("zone_text", "error"), [(MANY + HOST, SPFTooManyDNSLookups), (VOID, SPFTooManyVoidDNSLookups)]
)
async def test_checkdmarc_says_the_same(zone: Zone, dns_port: int, zone_text: str, error: type[Exception]) -> None:
    zone.text = zone_text
    record = zone_text.partition('"')[2].partition('"')[0]
    with pytest.raises(error):
        parse_spf_record(record, DOMAIN, nameservers=[Do53Nameserver("127.0.0.1", dns_port)])


async def test_included_domain_that_does_not_answer_accuses_nobody(resolver: Resolver, zone: Zone) -> None:
    zone.text = txt(DOMAIN, "v=spf1 include:v.test -all")
    zone.broken = {"v.test"}
    result = await check_spf(DOMAIN, parked=False, resolver=resolver)
    assert (result.outcome, result.reason) == (Outcome.UNKNOWN, "dns-error")
