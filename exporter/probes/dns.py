"""The DNS records of a domain that make its mail secure, as senders read them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, named, reason_of
from mailposture.checks.dns import check_mta_sts_record, check_mx, check_tls_rpt
from mailposture.checks.result import CheckResult, Outcome
from mailposture.checks.spf_dmarc import check_dmarc, check_spf
from mailposture.records.dns_records import destinations_of_ours, tls_rpt_record
from mailposture.records.mta_sts import configured_policy, render, render_record

if TYPE_CHECKING:
    from exporter.probes.outcome import ProbeContext
    from mailposture.config.model import Domain

SUCCESS = Gauge(
    name="dns_record_success",
    help="1 if the record (mx, tls-rpt, mta-sts, spf, dmarc) is there and as it must be; no series for what the domain "
    "does not need",
    labels=("policy_domain", "record"),
)
FAILURE = Gauge(
    name="dns_record_failure",
    help="1 for the reason why the record is not as it must be; no series while it is",
    labels=("policy_domain", "record", "reason"),
)


async def probe_dns(domain: Domain, context: ProbeContext) -> ProbeOutcome:
    """Look at each record that the domain needs; one that takes no mail needs only those that say so."""
    results = await _results(domain, context)
    samples = [Measured(SUCCESS, (domain.name, record), float(one.success)) for record, one in results.items()]
    samples += [
        Measured(FAILURE, (domain.name, record, reason), 1)
        for record, one in results.items()
        if (reason := reason_of(one.reason)) is not None
    ]
    return ProbeOutcome(
        success=all(one.success for one in results.values()),
        reason=next((reason_of(one.reason) for one in results.values() if not one.success), None),
        samples=tuple(samples),
        findings=tuple(
            Finding(record=record, success=one.success, reason=reason_of(one.reason), detail=one.detail)
            for record, one in results.items()
        ),
    )


async def _results(domain: Domain, context: ProbeContext) -> dict[str, CheckResult]:
    name, resolver = domain.name, context.vantage.resolver
    mx = await check_mx(name, resolver=resolver)
    spf, dmarc = await asyncio.gather(
        check_spf(name, parked=mx.parked, resolver=resolver), check_dmarc(name, parked=mx.parked, resolver=resolver)
    )
    if mx.parked:
        return {"mx": mx.result, "spf": spf, "dmarc": dmarc}
    policy = configured_policy(domain)
    tls_rpt, sts = await asyncio.gather(
        check_tls_rpt(
            name,
            resolver=resolver,
            expected=tls_rpt_record(context.config, domain).value,
            ours=destinations_of_ours(context.config, domain),
        ),
        check_mta_sts_record(name, resolver=resolver, expected=render_record(render(policy)) if policy else None),
    )
    results = {"mx": mx.result, "tls-rpt": tls_rpt, "mta-sts": sts.result, "spf": spf, "dmarc": dmarc}
    if policy is None and sts.result.outcome is Outcome.MISSING:
        del results["mta-sts"]  # neither we nor the zone want MTA-STS for this domain
    return results


PROBE = named(
    "dns",
    "dns_record",
    probe_dns,
    success="1 if every DNS record that the domain needs is there and as it must be",
    gauges=(SUCCESS, FAILURE),
)
