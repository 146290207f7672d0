"""What is otherwise than at the end of the week before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mailposture.clickhouse.thresholds import to_be_renewed
from reports.digest.digest import Changes, DueCertificate, Ready, RecordChange, Turned
from reports.digest.problems import problems_of
from reports.digest.week import DAYS
from reports.dmarc.readiness import Verdict as DmarcVerdict
from reports.tls.readiness import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from clickhouse_connect.driver import Client

    from reports.attention import Needed
    from reports.digest.week import Week

_STRICTER: Final = {"none": "quarantine", "quarantine": "reject"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posture:
    """Modes, policies, and the steps that were safe, as of a day."""

    policies: dict[tuple[str, str], str]  # domain, what → mode or policy
    safe: frozenset[Ready]


def read_changes(
    client: Client, week: Week, *, now: Sequence[Needed], earlier: Sequence[Needed], ours: Callable[[str], bool]
) -> Changes:
    """`now`, `earlier`: what needed attention at the end of this week and of the one before; `ours`: which domains."""
    posture, before = (_read_posture(client, each, ours) for each in (week, week.before))
    return Changes(
        new=problems_of(_only(now, without=earlier)),
        ended=problems_of(_only(earlier, without=now)),
        turned=tuple(
            Turned(domain, what, before.policies[domain, what], policy)
            for (domain, what), policy in sorted(posture.policies.items())
            if before.policies.get((domain, what), policy) != policy
        ),
        records=tuple(RecordChange(*row) for row in _ask(client, _RECORDS, week) if ours(row[0])),
        certificates=tuple(_due(client, week, now, ours)),
        ready=tuple(sorted(posture.safe - before.safe)),
    )


def _only(some: Iterable[Needed], *, without: Iterable[Needed]) -> Iterator[Needed]:
    """Those that are not among the others; what was acknowledged meanwhile is the same still."""
    known = {(each.policy_domain, each.cause, each.subject) for each in without}
    return (
        each for each in some if not each.acknowledged and (each.policy_domain, each.cause, each.subject) not in known
    )


def _read_posture(client: Client, week: Week, ours: Callable[[str], bool]) -> _Posture:
    policies, safe = dict[tuple[str, str], str](), set[Ready]()
    for domain, verdict, mode in _ask(client, _MTA_STS, week):
        if ours(domain) and mode:
            policies[domain, "MTA-STS mode"] = mode
            if mode != "enforce" and verdict == Verdict.READY:
                safe.add(Ready(domain, "MTA-STS mode enforce"))
    for domain, scope, step, verdict, policy in _ask(client, _DMARC, week):
        if ours(domain) and policy:
            where = {"domain": "", "subdomains": " for subdomains"}.get(scope, f" of {scope}")
            policies[domain, f"DMARC policy{where}"] = policy
            if step == _STRICTER.get(policy) and verdict == DmarcVerdict.SAFE:
                safe.add(Ready(domain, f"DMARC policy {step}{where}"))
    return _Posture(policies=policies, safe=frozenset(safe))


def _due(client: Client, week: Week, now: Sequence[Needed], ours: Callable[[str], bool]) -> Iterator[DueCertificate]:
    """What needs attention already is not said again."""
    known = {(each.policy_domain, each.subject) for each in now if each.cause == "mx-certificate-expiring"}
    for domain, server, expires in _ask(client, _CERTIFICATES, week):
        if ours(domain) and (domain, server) not in known:
            yield DueCertificate(domain, server, expires)


def _ask(client: Client, sql: str, week: Week) -> Sequence[Sequence[Any]]:
    parameters = {"start": week.start, "end": week.end}
    return client.query(sql, parameters=parameters).result_rows


_MTA_STS: Final = "SELECT policy_domain, verdict, last_mode FROM mta_sts_readiness_at(end = {end:Date})"
_DMARC: Final = "SELECT policy_domain, scope, step, verdict, policy FROM dmarc_readiness_steps_at(end = {end:Date})"
_RECORDS: Final = """
    SELECT
        policy_domain, record, subject, max(toDate(seen_at, 'UTC')) AS day,
        argMin(before, seen_at) AS was, argMax(after, seen_at) AS is
    FROM record_changes
    WHERE seen_at >= toDateTime({start:Date}, 'UTC') AND seen_at < toDateTime({end:Date}, 'UTC')
    GROUP BY policy_domain, record, subject
    ORDER BY policy_domain, record, subject
"""
# Of the last two days, as attention takes probes.
_CERTIFICATES: Final = f"""
    SELECT policy_domain, receiving_mx, toDate(min(certificate_not_after), 'UTC') AS expires
    FROM (
        SELECT policy_domain, receiving_mx, receiving_ip, argMax(certificate_not_after, day) AS certificate_not_after
        FROM probe_results_daily
        WHERE probe = 'mx' AND day >= {{end:Date}} - 1 AND day <= {{end:Date}}
        GROUP BY policy_domain, receiving_mx, receiving_ip
    ) AS last
    INNER JOIN domains USING (policy_domain)
    WHERE {to_be_renewed("certificate_not_after", f"toDateTime({{end:Date}} + {DAYS}, 'UTC')")}
    GROUP BY policy_domain, receiving_mx
    ORDER BY expires, policy_domain, receiving_mx
"""
