"""The DNS records of a domain that make its mail secure, as senders read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, named
from mailposture.checks.outside import look_at_records
from mailposture.checks.result import Outcome
from mailposture.expectation import expectation

if TYPE_CHECKING:
    from exporter.probes.outcome import ProbeContext
    from mailposture.config.model import Domain

SUCCESS = Gauge(
    name="dns_record_success",
    help="1 if the record (mx, tls-rpt, mta-sts, spf, dmarc, dmarc-authorization) is published and correct; no series "
    "for what the domain does not need",
    labels=("policy_domain", "record"),
)
FAILURE = Gauge(
    name="dns_record_failure",
    help="1 for the reason why the record is missing or wrong; no series while it is correct",
    labels=("policy_domain", "record", "reason"),
)


async def probe_dns(domain: Domain, context: ProbeContext) -> ProbeOutcome:
    """Look at each record that the domain needs; a parked one needs only those that say so."""
    expected = expectation(context.config, domain)
    view = await look_at_records(expected, vantage=context.vantage)
    results = view.by_record
    if view.sts is not None and expected.policy is None and view.sts.result.outcome is Outcome.MISSING:
        del results["mta-sts"]  # neither we nor the zone want MTA-STS for this domain
    samples = [Measured(SUCCESS, (domain.name, record), float(one.success)) for record, one in results.items()]
    samples += [
        Measured(FAILURE, (domain.name, record, one.reason), 1)
        for record, one in results.items()
        if one.reason is not None
    ]
    return ProbeOutcome(
        success=all(one.success for one in results.values()),
        reason=next((one.reason for one in results.values() if not one.success), None),
        samples=tuple(samples),
        findings=tuple(
            Finding(record=record, success=one.success, reason=one.reason, detail=one.detail)
            for record, one in results.items()
        ),
    )


PROBE = named(
    "dns",
    "dns_record",
    probe_dns,
    success="1 if every DNS record that the domain needs is published and correct",
    gauges=(SUCCESS, FAILURE),
)
