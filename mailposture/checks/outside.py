"""The outside view of a domain, assembled once: `check`, `policy`, `readiness`, `records` and the probes ask it.

Each part is what senders see, set against what is expected. The parts can be looked at alone, since probes have a
schedule for each; whatever the world answers is a result in them, never an exception.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from mailposture.checks.dkim import check_keys
from mailposture.checks.dmarc import DmarcLookup, check_dmarc
from mailposture.checks.dns import MxLookup, StsRecordLookup, check_mta_sts_record, check_mx, check_tls_rpt
from mailposture.checks.parked import check_no_keys, check_no_policy, check_subdomains
from mailposture.checks.policy import PolicyFetch, check_coverage, fetch_policy
from mailposture.checks.reason import Reason
from mailposture.checks.result import CheckResult, Outcome, Subject
from mailposture.checks.servers import MOST_HOSTS, ServersView, look_at_servers
from mailposture.checks.spf import check_spf, says_that_nobody_sends
from mailposture.quoting import quoted
from mailposture.records.formats import zone_line
from mailposture.records.mta_sts import policy_host_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from mailposture.checks.dkim import KeyInUse
    from mailposture.checks.port25 import Port25
    from mailposture.checks.resolver import Resolver
    from mailposture.checks.vantage import Vantage
    from mailposture.expectation import Expectation

_AT_ONCE = 10  # domains
_View = TypeVar("_View")


@dataclass(frozen=True, kw_only=True)
class RecordsView:
    """What DNS says about a domain."""

    mx: MxLookup
    spf: CheckResult
    dmarc: DmarcLookup
    dkim: tuple[CheckResult, ...] = ()  # of each key that is known to be in use
    subdomains: CheckResult | None = None  # None where mail may come and go
    tls_rpt: CheckResult | None = None  # None, as sts: a parked domain needs none
    sts: StsRecordLookup | None = None
    needless_sts: CheckResult | None = None  # the record of a parked domain that is to have none

    @property
    def found(self) -> tuple[tuple[str, CheckResult], ...]:
        """By mx, subdomains, tls-rpt, mta-sts, spf, dmarc, dmarc-authorization and dkim (each key), in this order."""
        found = (
            ("mx", self.mx.result),
            ("subdomains", self.subdomains),
            ("tls-rpt", self.tls_rpt),
            ("mta-sts", self.sts.result if self.sts else self.needless_sts),
            *self._of_authentication,
        )
        return tuple((record, result) for record, result in found if result is not None)

    @property
    def authentication(self) -> tuple[CheckResult, ...]:
        """What says whether mail is from the domain: SPF, DMARC and DKIM."""
        return tuple(result for _, result in self._of_authentication if result is not None)

    @property
    def _of_authentication(self) -> tuple[tuple[str, CheckResult | None], ...]:
        return (
            ("spf", self.spf),
            ("dmarc", self.dmarc.result),
            ("dmarc-authorization", self.dmarc.authorization),
            *(("dkim", key) for key in self.dkim),
        )


@dataclass(frozen=True, kw_only=True)
class PolicyView:
    """The MTA-STS policy of a domain as senders get it, its record, and the MX hosts that it is about."""

    expected: Expectation
    mx: MxLookup
    record: StsRecordLookup
    fetched: PolicyFetch

    @property
    def agrees(self) -> bool | None:
        """Whether the policy served is the configured one; None if we host none, or none is served."""
        body = self.expected.policy_body
        return None if body is None or self.fetched.policy is None else self.fetched.body == body

    @property
    def announced(self) -> bool | None:
        """Whether the record has the id of the configured policy; None if we host none, or DNS does not answer."""
        if self.expected.policy is None or self.record.result.outcome is Outcome.UNKNOWN:
            return None
        return self.record.result.success

    @property
    def coverage(self) -> CheckResult | None:
        """Whether the policy served allows every MX; None if there are not both to compare."""
        if self.fetched.policy is None or not self.mx.hosts:
            return None
        return check_coverage(self.expected.domain, self.fetched.policy, self.mx.hosts)

    @property
    def result(self) -> CheckResult:
        """Whether senders get the policy that is expected."""
        served = self.fetched.result
        if self.agrees is not False:
            return served
        return replace(
            served,
            outcome=Outcome.WRONG,
            reason=Reason.POLICY_DIFFERS,
            detail=f"the policy served is not the configured one; served: {served.detail}",
            instruction=f"`mailposture policy {self.expected.domain}` says the next step",
        )

    @property
    def results(self) -> tuple[CheckResult, ...]:
        """The policy, and whether it covers every MX."""
        return (self.result,) if self.coverage is None else (self.result, self.coverage)


@dataclass(frozen=True, kw_only=True)
class OutsideView:
    """All of it, in the order in which a person fixes it."""

    expected: Expectation
    records: RecordsView
    policy: PolicyView | None
    servers: ServersView | None

    def results(self, *, port_25: Port25) -> tuple[CheckResult, ...]:
        """All findings, once `port_25` knows of the servers of all domains of this round."""
        records = self.records
        results = [records.mx.result]
        if records.subdomains is not None:
            results.append(records.subdomains)
        if records.tls_rpt is not None:
            results.append(records.tls_rpt)
        if records.sts is not None:
            results.append(records.sts.result)
        if records.needless_sts is not None:
            results.append(records.needless_sts)
        if self.policy is not None:
            results += self.policy.results
        if self.servers is not None:
            within = self.expected.expiring_within
            results += self.servers.starttls_results(port_25=port_25, expiring_within=within)
            results += _left_out(self.expected.domain, records.mx.hosts[MOST_HOSTS:])
            results += self.servers.tlsa_results(mx_signed=records.mx.authenticated)
        return (*results, *records.authentication)


async def look_at_records(expected: Expectation, *, vantage: Vantage, keys: Sequence[KeyInUse] = ()) -> RecordsView:
    """Look up every record that the domain needs, and the DKIM keys that are in use."""
    resolver = vantage.resolver
    mx = await check_mx(expected, resolver=resolver)
    parked = is_parked(expected, mx)
    spf, dmarc, dkim, subdomains, tls_rpt, (sts, needless_sts) = await asyncio.gather(
        check_spf(expected.domain, parked=parked, resolver=resolver),
        check_dmarc(expected, parked=parked, resolver=resolver),
        (check_no_keys(expected.domain, keys, resolver=resolver) if parked else check_keys(keys, resolver=resolver)),
        check_subdomains(expected.domain, resolver=resolver) if parked else _known(None),
        _known(None) if parked else check_tls_rpt(expected, resolver=resolver),
        _look_at_sts_record(expected, parked=parked, resolver=resolver),
    )
    if expected.parked is False and mx.null and says_that_nobody_sends(spf.published):
        mx = replace(mx, result=_unmarked(expected.domain, mx))
    return RecordsView(
        mx=mx,
        spf=spf,
        dmarc=dmarc,
        dkim=dkim,
        subdomains=subdomains,
        tls_rpt=tls_rpt,
        sts=sts,
        needless_sts=needless_sts,
    )


async def _look_at_sts_record(
    expected: Expectation, *, parked: bool, resolver: Resolver
) -> tuple[StsRecordLookup | None, CheckResult | None]:
    """The record that is needed, or the one that is left over."""
    if parked and expected.policy is None:
        return None, await check_no_policy(expected.domain, resolver=resolver)
    return await check_mta_sts_record(expected, resolver=resolver), None


def _unmarked(domain: str, mx: MxLookup) -> CheckResult:
    """Somebody meant it: a null MX alone may be a mistake, by which all mail is returned."""
    detail = "its records say that it takes and sends no mail (null MX, SPF -all), and its configuration does not"
    instruction = "write `parked: true` into its configuration, or publish MX and SPF records for its mail"
    result = Subject("mx", domain).wrong(Reason.NOT_MARKED_AS_PARKED, detail, instruction)
    return replace(result, published=mx.result.published)


async def look_at_policy(
    expected: Expectation, *, vantage: Vantage, mx: MxLookup | None = None, record: StsRecordLookup | None = None
) -> PolicyView:
    """Fetch the policy; `mx` and `record` as they were looked up before, if they were."""
    resolver = vantage.resolver
    host = expected.record(policy_host_name(expected.domain))
    found_mx, found_record, fetched = await asyncio.gather(
        check_mx(expected, resolver=resolver) if mx is None else _known(mx),
        check_mta_sts_record(expected, resolver=resolver) if record is None else _known(record),
        fetch_policy(expected.domain, vantage=vantage, wanted=zone_line(host) if host else None),
    )
    return PolicyView(expected=expected, mx=found_mx, record=found_record, fetched=fetched)


async def look_at(expected: Expectation, *, vantage: Vantage, keys: Sequence[KeyInUse] = ()) -> OutsideView:
    """Look at the records, the policy and the servers of a domain, and the DKIM keys that are in use."""
    records = await look_at_records(expected, vantage=vantage, keys=keys)
    parked = is_parked(expected, records.mx)
    policy, servers = await asyncio.gather(
        look_at_policy(expected, vantage=vantage, mx=records.mx, record=records.sts) if records.sts else _known(None),
        # No mail comes in at a parked domain, so there is no server to look at.
        _known(None) if parked else look_at_servers(records.mx.hosts[:MOST_HOSTS], vantage=vantage),
    )
    return OutsideView(expected=expected, records=records, policy=policy, servers=servers)


def is_parked(expected: Expectation, mx: MxLookup) -> bool:
    """Whether the domain takes no mail: as configured, and as DNS says of a domain that is not ours."""
    return mx.null if expected.parked is None else expected.parked


async def for_each(
    expectations: Sequence[Expectation],
    look: Callable[[Expectation], Awaitable[_View]],
    *,
    broken: Callable[[Expectation, CheckResult], _View],
) -> list[_View]:
    """Look at several domains at the same time, but bounded; a fault of ours at one ends nothing for the others.

    `broken` makes a view of what is known of a domain then: a result that says so.
    """
    slots = asyncio.Semaphore(_AT_ONCE)

    async def bounded(expected: Expectation) -> _View:
        async with slots:
            try:
                return await look(expected)
            except Exception as error:
                detail = f"the check itself failed ({type(error).__name__}: {quoted(str(error))})"
                instruction = (
                    "this is a fault of mailposture: report it with these words, and what the domain publishes"
                )
                result = Subject("check", expected.domain).unknown(Reason.BROKEN, detail, instruction)
                return broken(expected, result)

    return await asyncio.gather(*map(bounded, expectations))


def _left_out(domain: str, hosts: Sequence[str]) -> list[CheckResult]:
    if not hosts:
        return []
    detail = f"{len(hosts)} more MX hosts, from {hosts[0]} on, were not looked at"
    subject = Subject("starttls", domain)
    return [subject.unknown(Reason.NOT_LOOKED_AT, detail, "a domain needs a handful of MX records")]


async def _known(found: _View) -> _View:
    return found
