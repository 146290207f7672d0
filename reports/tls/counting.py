"""Which rows of a report count where sessions are added up.

A sender that checks both MTA-STS and DANE reports the same sessions under `sts` and again under `tlsa`. Nothing in a
report says which sessions those are, so within one report and domain only one of the two types counts.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from reports.tls.attribution import TLSA

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable

    from reports.tls.attribution import OwnedPolicy
    from reports.tls.decode import FailureDetail

STS: Final = "sts"
_TWO_VIEWS: Final = frozenset((STS, TLSA))


def policies_not_counting(owned: Collection[OwnedPolicy]) -> frozenset[int]:
    """Positions of the policies that describe sessions again which count elsewhere.

    Of `sts` and `tlsa` the one with more sessions counts; if equal, the one with more failures; if equal, `sts`.
    """
    if not _has_two_views(owned):
        return frozenset()
    totals: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for domain, _, policy in owned:
        if policy.policy_type in _TWO_VIEWS:
            sessions, failed = totals[domain].get(policy.policy_type, (0, 0))
            totals[domain][policy.policy_type] = (
                sessions + policy.successful_sessions + policy.failed_sessions,
                failed + policy.failed_sessions,
            )
    losers = {
        (domain, TLSA if types[STS] >= types[TLSA] else STS) for domain, types in totals.items() if len(types) == 2
    }
    return frozenset(index for domain, index, policy in owned if (domain, policy.policy_type) in losers)


def failures_not_counting(owned: Collection[OwnedPolicy]) -> frozenset[tuple[int, int]]:
    """Positions (policy, detail) of the failure details that break sessions down again which another detail counts.

    Details of `sts` and `tlsa` are the same where all that identifies them is; the type with the larger sum counts, if
    equal `sts`.
    """
    if not _has_two_views(owned):
        return frozenset()
    types = defaultdict(set)
    for domain, _, policy in owned:
        types[domain].add(policy.policy_type)
    details = [
        ((domain, *_identity(detail)), policy.policy_type, (index, position), detail.failed_sessions)
        for domain, index, policy in owned
        if types[domain] >= _TWO_VIEWS and policy.policy_type in _TWO_VIEWS
        for position, detail in enumerate(policy.failures)
    ]
    sums: defaultdict[Hashable, dict[str, int]] = defaultdict(dict)
    for failure, policy_type, _, sessions in details:
        sums[failure][policy_type] = sums[failure].get(policy_type, 0) + sessions
    losers = {
        (failure, TLSA if by_type[STS] >= by_type[TLSA] else STS)
        for failure, by_type in sums.items()
        if len(by_type) == 2
    }
    return frozenset(place for failure, policy_type, place, _ in details if (failure, policy_type) in losers)


def _has_two_views(owned: Iterable[OwnedPolicy]) -> bool:
    return {policy.policy_type for _, _, policy in owned} >= _TWO_VIEWS


def _identity(detail: FailureDetail) -> tuple[str, bytes, str, bytes, str]:
    return (detail.result_type, detail.sending_mta_ip, detail.receiving_mx, detail.receiving_ip, detail.reason_code)
