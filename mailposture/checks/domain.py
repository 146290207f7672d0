"""Everything about one domain, in the order in which a person mends it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mailposture.checks.dns import check_mta_sts_record, check_mx, check_tls_rpt
from mailposture.checks.policy import PolicyFetch, check_coverage, fetch_policy
from mailposture.checks.result import CheckResult, Outcome, Subject
from mailposture.checks.servers import MOST_HOSTS, judge_servers, probe_servers
from mailposture.checks.spf_dmarc import check_dmarc, check_spf
from mailposture.checks.tlsa import check_tlsa
from mailposture.records import mta_sts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.mx import MxProbe
    from mailposture.checks.vantage import Vantage


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What our configuration says about a domain; empty for domains that are not ours."""

    tls_rpt: str | None = None  # the text of the record
    reports_to: frozenset[str] = frozenset()  # the destinations that reach us
    policy_host: str | None = None  # the line that leads to the policy host
    policy: bytes | None = None  # the body of the policy
    expiring_within: timedelta = timedelta(days=14)


async def check_domain(domain: str, expected: Expectation, *, vantage: Vantage) -> tuple[CheckResult, ...]:
    """Look at the records, the policy and the servers of a domain; every finding is a result."""
    resolver = vantage.resolver
    mx = await check_mx(domain, resolver=resolver)
    sending = asyncio.gather(
        check_spf(domain, parked=mx.parked, resolver=resolver), check_dmarc(domain, parked=mx.parked, resolver=resolver)
    )
    if mx.parked:
        # No mail comes in, so there is nothing for TLS reports or a policy to protect.
        return (mx.result, *await sending)
    announced = mta_sts.render_record(expected.policy).strip() if expected.policy is not None else None
    hosts = mx.hosts[:MOST_HOSTS]
    tls_rpt, record, fetched, probes = await asyncio.gather(
        check_tls_rpt(domain, resolver=resolver, expected=expected.tls_rpt, ours=expected.reports_to),
        check_mta_sts_record(domain, resolver=resolver, expected=announced),
        fetch_policy(domain, vantage=vantage, wanted=expected.policy_host),
        probe_servers(hosts, vantage=vantage),
    )
    return (
        mx.result,
        tls_rpt,
        record.result,
        *_policy_results(domain, fetched, expected, mx.hosts),
        *judge_servers(probes, expiring_within=expected.expiring_within),
        *_left_out(domain, mx.hosts[MOST_HOSTS:]),
        *await asyncio.gather(
            *(check_tlsa(host, _chains(host, probes), resolver=resolver, mx_signed=mx.authenticated) for host in hosts)
        ),
        *await sending,
    )


def _policy_results(
    domain: str, fetched: PolicyFetch, expected: Expectation, mx_hosts: Sequence[str]
) -> list[CheckResult]:
    if fetched.policy is None:
        return [fetched.result]
    result = fetched.result
    if expected.policy is not None and fetched.body != expected.policy:
        result = replace(
            result,
            outcome=Outcome.WRONG,
            reason="policy-differs",
            detail=f"the policy served is not the configured one; served: {result.detail}",
            instruction=f"`mailposture policy {domain}` says the next step",
        )
    if not mx_hosts:
        return [result]  # nothing to cover that is known
    return [result, check_coverage(domain, fetched.policy, mx_hosts)]


def _left_out(domain: str, hosts: Sequence[str]) -> list[CheckResult]:
    if not hosts:
        return []
    detail = f"{len(hosts)} more MX hosts, from {hosts[0]} on, were not looked at"
    return [Subject("starttls", domain).unknown("not-looked-at", detail, "a domain needs a handful of MX records")]


def _chains(host: str, probes: Sequence[MxProbe]) -> list[tuple[bytes, ...]]:
    return [probe.chain for probe in probes if probe.host == host and probe.chain]
