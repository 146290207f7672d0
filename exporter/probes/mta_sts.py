"""A domain's MTA-STS policy as senders get it, and whether it agrees with MX, its own record and what we host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.exposition import Gauge
from exporter.probes.outcome import Finding, Measured, ProbeOutcome, named
from mailposture.checks.dns import check_mta_sts_record
from mailposture.checks.outside import look_at_policy
from mailposture.checks.reason import Reason
from mailposture.checks.result import Outcome
from mailposture.checks.servers import MOST_HOSTS
from mailposture.config.domains import PolicyMode
from mailposture.expectation import expectation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exporter.probes.outcome import ProbeContext
    from mailposture.checks.outside import PolicyView
    from mailposture.checks.result import CheckResult
    from mailposture.config.domains import Domain
    from mailposture.records.mta_sts import Policy

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
    """Fetch the policy; of a domain without one, in the configuration and in DNS, nothing is asked."""
    expected = expectation(context.config, domain)
    record = await check_mta_sts_record(expected, resolver=context.vantage.resolver)
    if expected.policy is None and record.result.outcome is Outcome.MISSING:
        return ProbeOutcome(success=True)
    view = await look_at_policy(expected, vantage=context.vantage, record=record)
    served = view.fetched.policy
    if expected.policy is None and record.result.outcome is Outcome.UNKNOWN and served is None:
        # Nobody says that this domain has MTA-STS, so there may be no policy to be missed.
        finding = Finding(success=False, reason=Reason.DNS_ERROR, detail=record.result.detail)
        return ProbeOutcome(success=False, reason=Reason.DNS_ERROR, findings=(finding,))
    if served is not None:
        context.policies.fetched(domain.name, served)
    fault = next((one for one in _gravest_first(view) if one is not None and not one.success), None)
    finding = Finding(
        success=fault is None,
        reason=fault.reason if fault else None,
        detail=fault.detail if fault else view.fetched.result.detail,
        sts_mode=served.mode if served else "",
        sts_max_age=served.max_age if served else 0,
        sts_mx_hosts=served.mx if served else (),
        sts_record_id=record.id or "",
        policy_agrees=view.agrees,
        record_agrees=view.announced,
        mx_covered=view.coverage.success if view.coverage else None,
    )
    return ProbeOutcome(
        success=fault is None,
        reason=finding.reason,
        samples=tuple(_samples(view, context.policies.of(domain.name))),
        findings=(finding,),
    )


def _gravest_first(view: PolicyView) -> tuple[CheckResult | None, ...]:
    return (view.coverage, view.fetched.result, view.record.result, view.result)


def _samples(view: PolicyView, policy: Policy | None) -> Iterator[Measured]:
    """`policy`: what senders go by, fetched now or kept."""
    domain = view.expected.domain
    if view.fetched.result.outcome is not Outcome.UNKNOWN:
        yield Measured(FETCHED, (domain,), float(view.fetched.policy is not None))
    for gauge, agrees in ((POLICY_AGREES, view.agrees), (RECORD_AGREES, view.announced)):
        if agrees is not None:
            yield Measured(gauge, (domain,), float(agrees))
    if policy is None:
        return
    yield Measured(MAX_AGE, (domain,), policy.max_age)
    for mode in PolicyMode:
        yield Measured(MODE, (domain, mode), float(mode is policy.mode))
    if policy.mode is not PolicyMode.NONE:
        hosts = view.mx.hosts[:MOST_HOSTS]
        uncovered = policy.uncovered(hosts)
        for host in hosts:
            yield Measured(MX_COVERED, (domain, host), float(host not in uncovered))


PROBE = named(
    "mta-sts",
    "mta_sts",
    probe_mta_sts,
    success="1 if senders can fetch the MTA-STS policy, and it agrees with record, MX and our configuration",
    gauges=(FETCHED, MODE, MAX_AGE, POLICY_AGREES, RECORD_AGREES, MX_COVERED),
)
