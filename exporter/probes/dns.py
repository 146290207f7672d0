"""The DNS records of a domain that make its mail secure, as senders read them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, named
from mailposture.checks.outside import look_at_records
from mailposture.checks.result import Outcome
from mailposture.checks.spf import asking
from mailposture.expectation import expectation
from mailposture.spf_networks import listed_networks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.probes.outcome import ProbeContext
    from mailposture.checks.result import CheckResult
    from mailposture.config.domains import Domain

_LONGEST = 15.0  # seconds for all that an SPF record lists

SUCCESS = Gauge(
    name="dns_record_success",
    help="1 if the record (mx, subdomains, tls-rpt, mta-sts, spf, dmarc, dmarc-authorization, dkim: all keys that "
    "reports show in use) is published and correct; no series for what the domain does not need",
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
    view = await look_at_records(expected, vantage=context.vantage, keys=context.keys_of(domain.name))
    if context.listed.wanted(domain.name, view.spf.published):
        ask = asking(context.vantage.resolver)
        networks = await listed_networks(domain.name, ask=ask, seconds=_LONGEST)
        context.listed.note(domain.name, view.spf.published, networks)
    # Where neither we nor the zone want MTA-STS for this domain, its record is not missed.
    unwanted = view.sts is not None and expected.policy is None and view.sts.result.outcome is Outcome.MISSING
    found = [(record, one) for record, one in view.found if not (unwanted and record == "mta-sts")]
    return ProbeOutcome(
        success=all(one.success for _, one in found),
        reason=next((one.reason for _, one in found if not one.success), None),
        samples=tuple(_samples(domain.name, found)),
        findings=tuple(
            Finding(
                record=record,
                subject=one.subject if record == "dkim" else "",
                success=one.success,
                reason=one.reason,
                detail=one.detail,
                published=one.published,
                policies=one.policies,
            )
            for record, one in found
        ),
    )


def _samples(domain: str, found: Sequence[tuple[str, CheckResult]]) -> Iterator[Measured]:
    """One series per record: reports name as many keys as they like, each of which is a row of the history."""
    results: defaultdict[str, list[CheckResult]] = defaultdict(list)
    for record, one in found:
        results[record].append(one)
    for record, some in results.items():
        yield Measured(SUCCESS, (domain, record), float(all(one.success for one in some)))
        for reason in dict.fromkeys(one.reason for one in some if one.reason is not None):
            yield Measured(FAILURE, (domain, record, reason), 1)


PROBE = named(
    "dns",
    "dns_record",
    probe_dns,
    success="1 if every DNS record that the domain needs is published and correct",
    gauges=(SUCCESS, FAILURE),
)
