"""A domain's MTA-STS policy as senders get it, and whether it agrees with MX, its own record and what we host."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, Reason, named, reason_of
from mailposture.checks.dns import MxLookup, StsRecordLookup, check_mta_sts_record, check_mx
from mailposture.checks.policy import PolicyFetch, check_coverage, fetch_policy
from mailposture.checks.result import CheckResult, Outcome
from mailposture.checks.servers import MOST_HOSTS
from mailposture.config.model import PolicyMode
from mailposture.records.mta_sts import configured_policy, covers, render, render_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.probes.outcome import ProbeContext
    from mailposture.config.model import Domain, MtaStsPolicy

FETCHED = Gauge(
    name="mta_sts_policy_fetched",
    help="1 if senders can fetch and read the MTA-STS policy, 0 if not; no series if DNS gave no answer",
)
MODE = Gauge(
    name="mta_sts_policy_mode",
    help="1 for the mode (enforce, testing, none) of the policy that senders fetch, or keep for its max_age while they "
    "cannot; 0 for the others",
    labels=("policy_domain", "mode"),
)
MAX_AGE = Gauge(name="mta_sts_policy_max_age_seconds", help="How long senders may keep the policy that they fetch")
POLICY_AGREES = Gauge(
    name="mta_sts_policy_agrees",
    help="1 if the policy that senders fetch is the one of our configuration, else 0; no series if we host none",
)
RECORD_AGREES = Gauge(
    name="mta_sts_record_agrees",
    help="1 if the id in the _mta-sts record is that of the policy of our configuration, else 0; no series if we host "
    "none",
)
MX_COVERED = Gauge(
    name="mta_sts_mx_covered",
    help="1 if the policy that senders fetch allows delivery to the MX, 0 if mode enforce refuses it",
    labels=("policy_domain", "mx"),
)


async def probe_mta_sts(domain: Domain, context: ProbeContext) -> ProbeOutcome:
    """Fetch the policy; a domain without one, in the configuration or in DNS, is left in peace."""
    resolver = context.vantage.resolver
    policy = configured_policy(domain)
    hosted = render(policy) if policy else None
    record = await check_mta_sts_record(
        domain.name, resolver=resolver, expected=render_record(hosted) if hosted else None
    )
    if hosted is None and record.result.outcome is Outcome.MISSING:
        return ProbeOutcome(success=True)
    mx, fetched = await asyncio.gather(
        check_mx(domain.name, resolver=resolver), fetch_policy(domain.name, vantage=context.vantage)
    )
    if hosted is None and record.result.outcome is Outcome.UNKNOWN and fetched.policy is None:
        # Nobody says that this domain has MTA-STS, so there may be no policy to be missed.
        finding = Finding(success=False, reason=Reason.DNS_ERROR, detail=record.result.detail)
        return ProbeOutcome(success=False, reason=Reason.DNS_ERROR, findings=(finding,))
    agrees = None if hosted is None or fetched.policy is None else fetched.body == hosted
    announced = None if hosted is None or record.result.outcome is Outcome.UNKNOWN else record.result.success
    coverage = check_coverage(domain.name, fetched.policy, mx.hosts) if fetched.policy and mx.hosts else None
    faults = list(_faults(fetched, record, coverage, agrees))
    reason, detail = faults[0] if faults else (None, fetched.result.detail)
    served = fetched.policy
    if served is not None:
        context.policies.fetched(domain.name, served)
    finding = Finding(
        success=not faults,
        reason=reason,
        detail=detail,
        sts_mode=served.mode if served else "",
        sts_max_age=served.max_age if served else 0,
        sts_mx_hosts=served.mx if served else (),
        sts_record_id=record.id or "",
        policy_agrees=agrees,
        record_agrees=announced,
        mx_covered=coverage.success if coverage else None,
    )
    return ProbeOutcome(
        success=not faults,
        reason=reason,
        samples=tuple(_samples(domain.name, finding, fetched, context.policies.of(domain.name), mx)),
        findings=(finding,),
    )


def _faults(
    fetched: PolicyFetch, record: StsRecordLookup, coverage: CheckResult | None, agrees: bool | None
) -> Iterator[tuple[Reason | None, str]]:
    """The gravest first."""
    for result in (coverage, fetched.result, record.result):
        if result is not None and not result.success:
            yield reason_of(result.reason), result.detail
    if agrees is False:
        yield Reason.POLICY_DIFFERS, f"the policy served is not the configured one; served: {fetched.result.detail}"


def _samples(
    domain: str, finding: Finding, fetched: PolicyFetch, policy: MtaStsPolicy | None, mx: MxLookup
) -> Iterator[Measured]:
    """`policy`: what senders go by, fetched now or kept."""
    if fetched.result.outcome is not Outcome.UNKNOWN:
        yield Measured(FETCHED, (domain,), float(fetched.policy is not None))
    for gauge, agrees in ((POLICY_AGREES, finding.policy_agrees), (RECORD_AGREES, finding.record_agrees)):
        if agrees is not None:
            yield Measured(gauge, (domain,), float(agrees))
    if policy is None:
        return
    yield Measured(MAX_AGE, (domain,), policy.max_age)
    for mode in PolicyMode:
        yield Measured(MODE, (domain, mode), float(mode is policy.mode))
    if policy.mode is not PolicyMode.NONE:
        for host in mx.hosts[:MOST_HOSTS]:
            yield Measured(MX_COVERED, (domain, host), float(covers(policy.mx, host)))


PROBE = named(
    "mta-sts",
    "mta_sts",
    probe_mta_sts,
    success="1 if senders can fetch the MTA-STS policy, and it agrees with record, MX and our configuration",
    gauges=(FETCHED, MODE, MAX_AGE, POLICY_AGREES, RECORD_AGREES, MX_COVERED),
)
