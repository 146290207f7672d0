"""The DNS probe: which records a domain needs, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from outside import DOMAIN, MX, configuration, measured

from exporter.probes.dns import probe_dns
from mailposture.checks.reason import Reason

if TYPE_CHECKING:
    from outside import World


async def test_all_records_right_is_a_success(world: World) -> None:
    outcome = await probe_dns(world.domain, world.context())
    assert (outcome.success, outcome.reason) == (True, None)
    assert measured(outcome) == {
        f"dns_record_success {record}": 1 for record in ("mx", "tls-rpt", "mta-sts", "spf", "dmarc")
    }
    assert [row.record for row in outcome.findings] == ["mx", "tls-rpt", "mta-sts", "spf", "dmarc"]


async def test_wrong_and_missing_records_have_their_reasons(world: World) -> None:
    world.zone.text = world.zone.text.replace("mailto:tlsrpt@example.test", "mailto:someone@else.test")
    world.zone.text = "\n".join(line for line in world.zone.text.splitlines() if "spf1" not in line)
    outcome = await probe_dns(world.domain, world.context())
    samples = measured(outcome)
    assert samples["dns_record_success tls-rpt"] == 0
    assert samples["dns_record_failure tls-rpt reports-go-elsewhere"] == 1
    assert samples["dns_record_failure spf no-record"] == 1
    assert samples["dns_record_success mx"] == 1
    assert outcome.reason is Reason.REPORTS_GO_ELSEWHERE


async def test_mta_sts_record_is_asked_for_only_where_somebody_wants_mta_sts(world: World) -> None:
    elsewhere = replace(world, config=configuration(domains=[{"name": DOMAIN}]))
    assert "dns_record_success mta-sts" in measured(await probe_dns(elsewhere.domain, elsewhere.context()))
    world.zone.text = "\n".join(line for line in world.zone.text.splitlines() if "_mta-sts" not in line)
    assert measured(await probe_dns(world.domain, world.context()))["dns_record_failure mta-sts no-record"] == 1
    assert "dns_record_success mta-sts" not in measured(await probe_dns(elsewhere.domain, elsewhere.context()))


async def test_domain_that_takes_no_mail_needs_only_the_records_that_say_so(world: World) -> None:
    world.zone.text = f"""
{DOMAIN}.        300 IN MX 0 .
{DOMAIN}.        300 IN TXT "v=spf1 -all"
_dmarc.{DOMAIN}. 300 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@mail.test"
*._domainkey.{DOMAIN}. 300 IN TXT "v=DKIM1; p="
*._report._dmarc.mail.test. 300 IN TXT "v=DMARC1"
"""
    parked = replace(world, config=configuration(domains=[{"name": DOMAIN, "parked": True}, {"name": "mail.test"}]))
    outcome = await probe_dns(parked.domain, parked.context())
    assert measured(outcome) == {
        f"dns_record_success {record}": 1
        for record in ("mx", "subdomains", "spf", "dmarc", "dmarc-authorization", "dkim")
    }
    published, world.zone.text = world.zone.text, world.zone.text + f'_mta-sts.{DOMAIN}. 300 IN TXT "v=STSv1; id=1"\n'
    left_over = measured(await probe_dns(parked.domain, parked.context()))
    assert left_over["dns_record_failure mta-sts parked-but-has-policy"] == 1
    world.zone.text = published
    expecting = measured(await probe_dns(world.domain, world.context()))
    assert expecting["dns_record_failure mx not-marked-as-parked"] == 1
    world.zone.text = world.zone.text.replace("v=spf1 -all", "v=spf1 mx -all")
    expecting = measured(await probe_dns(world.domain, world.context()))
    assert expecting["dns_record_failure mx null-mx"] == 1, "mail is expected, and the record says that there is none"


async def test_unanswered_record_is_a_dns_error_and_the_others_are_told(world: World) -> None:
    world.zone.broken = {f"_smtp._tls.{DOMAIN}"}
    samples = measured(await probe_dns(world.domain, world.context()))
    assert samples["dns_record_failure tls-rpt dns-error"] == 1
    assert samples["dns_record_success mx"] == 1


async def test_mx_that_is_an_alias_is_wrong(world: World) -> None:
    world.zone.text = world.zone.text.replace(
        f"{MX}.        300 IN A 127.0.0.1", f"{MX}. 300 IN CNAME real.example.test."
    )
    samples = measured(await probe_dns(world.domain, world.context()))
    assert samples["dns_record_failure mx mx-unusable"] == 1
