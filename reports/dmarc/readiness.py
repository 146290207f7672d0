"""May the DMARC policy of a domain go to quarantine, to reject? The view dmarc_readiness, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

SCOPES = ("domain", "subdomains")  # that the record of the domain is about
_MOST = 20  # sources that are named


class Verdict(StrEnum):
    """The words of the view."""

    SAFE = "safe"
    NOT_YET = "not-yet"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a policy would do, and whether it may be published."""

    scope: str  # domain, subdomains, or a subdomain with a DMARC record of its own
    step: str  # quarantine or reject
    verdict: Verdict
    reasons: tuple[str, ...]
    policy: str  # that applies to the scope now; empty if no report says so
    published: str  # where that is stricter, and for a test (t=y) or a part of the mail (pct) only; else empty
    own_messages: int
    refused_messages: int
    unknown_messages: int

    @property
    def is_next(self) -> bool:
        """Whether the policy now is the one below; what is at reject is judged as such."""
        return self.step == {"quarantine": "reject", "reject": "reject"}.get(self.policy, "quarantine")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedSource:
    """A source that a stricter policy concerns: its mail would be refused, or nobody knows whose it is."""

    scope: str
    source: str
    pile: str
    reason: str
    messages: int
    refused_messages: int
    days: int
    reporters: int
    waits: bool  # for somebody to say whether it is ours


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcReadiness:
    """All steps of a domain, over the last 30 report days."""

    steps: tuple[Step, ...]
    sources: tuple[RefusedSource, ...]

    @property
    def ready(self) -> bool:
        """Whether what comes next in the domain's own record is safe."""
        return all(step.verdict is Verdict.SAFE for step in self.steps if step.is_next and step.scope in SCOPES)


def read_readiness(client: Client, domain: str) -> DmarcReadiness | None:
    """What reports say of a domain; None if there are none about the last 30 report days."""
    steps = tuple(
        Step(
            scope=scope,
            step=step,
            verdict=Verdict(verdict),
            reasons=tuple(reasons),
            policy=policy,
            published=published,
            own_messages=own,
            refused_messages=refused,
            unknown_messages=unknown,
        )
        for scope, step, verdict, reasons, policy, published, own, refused, unknown in client.query(
            "SELECT scope, step, verdict, reasons, policy, published, own_messages, refused_messages, unknown_messages"
            " FROM dmarc_readiness WHERE policy_domain = {domain:String}"
            " ORDER BY indexOf({scopes:Array(String)}, scope) = 0, scope, step",
            parameters={"domain": domain, "scopes": list(SCOPES)},
        ).result_rows
    )
    if not any(step.own_messages or step.unknown_messages or step.policy for step in steps):
        return None
    sources = tuple(
        RefusedSource(
            scope=scope,
            source=source,
            pile=pile,
            reason=reason,
            messages=messages,
            refused_messages=refused,
            days=days,
            reporters=reporters,
            waits=bool(waits),
        )
        for scope, source, pile, reason, messages, refused, days, reporters, waits in client.query(
            "SELECT scope, source, pile, reason, messages, refused_messages, days, reporters, waits"
            " FROM dmarc_readiness_sources WHERE policy_domain = {domain:String} AND (refused_messages > 0 OR waits)"
            f" ORDER BY scope, waits, refused_messages DESC, source LIMIT {_MOST}",
            parameters={"domain": domain},
        ).result_rows
    )
    return DmarcReadiness(steps=steps, sources=sources)
