"""Changing an MTA-STS policy in the one order in which no sender is misled (RFC 8461, sections 3.3, 8.2 and 8.3).

First the policy host serves the new body, then the record gets the new id: the other way round, a sender fetches the
old body under the new id and keeps it for its whole max_age. A policy is withdrawn by mode none, never by deleting:
senders would keep to the copy that they have. Nothing here remembers anything; the next step follows from what is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailposture.config.domains import PolicyMode
from mailposture.records.mta_sts import Policy, policy_host_name, policy_id, record_name, render, render_record


class Stage(StrEnum):
    """How far a change has come."""

    UNKNOWN = "unknown"  # DNS does not answer: what senders know is not known
    NOT_CONFIGURED = "not-configured"  # no policy, and none is known outside
    NAME_MX = "name-mx"  # the configured policy lacks MX hosts
    COVER_MX = "cover-mx"  # the configured policy would have mail refused
    SERVE = "serve"  # the policy host does not serve the configured policy yet
    ANNOUNCE = "announce"  # the record does not have its id yet
    RETIRE_FIRST = "retire-first"  # the configuration dropped a policy that senders still know
    WITHDRAW = "withdraw"  # mode none is served and announced: wait, then delete
    DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is configured and what is seen outside."""

    domain: str
    wanted: bool  # whether the configuration has an `mta_sts` for the domain
    configured: Policy | None  # None also where MX hosts are lacking
    served: bytes | None  # the body that senders get; None if they get none
    serving_fault: str = ""
    record_id: str | None = None
    record_ttl: int = 0
    unanswered: tuple[str, ...] = ()  # the names of which DNS says nothing: of MX, policy host or record
    mx_hosts: tuple[str, ...] = ()
    parked: bool = False  # DNS says that the domain takes no mail (RFC 7505)


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do next."""

    stage: Stage
    instruction: str
    record: str | None = None  # the text of the `_mta-sts` record to publish


_DONE = Step(
    stage=Stage.DONE,
    instruction="None: policy, host and record agree. Senders with a copy of an earlier policy take this one when they "
    "next see the id; the last of them when the max_age of their copy is over.",
)


def next_step(seen: Situation) -> Step:
    """The next step of a change, and how long to wait after it."""
    if seen.configured is None:
        return _unconfigured(seen)
    body = render(seen.configured)
    uncovered = seen.configured.uncovered(seen.mx_hosts)
    if uncovered:
        return Step(
            stage=Stage.COVER_MX,
            instruction=f"The configured policy does not cover {', '.join(uncovered)}: enforced, it refuses mail. "
            "Add them to mta_sts.mx if they are yours. New MX hosts enter the policy before they enter DNS.",
        )
    if seen.unanswered:
        return _unknown(seen)
    if seen.served != body:
        return _serve(seen)
    if seen.record_id != policy_id(body):
        wait = f"wait {words_for(seen.record_ttl)} (the TTL of the old one), " if seen.record_ttl else ""
        return Step(
            stage=Stage.ANNOUNCE,
            instruction=f"The policy is served. Publish its id at {record_name(seen.domain)}, {wait}and ask again. "
            "Until then senders may still see the old id, which does no harm.",
            record=render_record(body),
        )
    return _withdraw(seen) if seen.configured.mode is PolicyMode.NONE else _DONE


def _unconfigured(seen: Situation) -> Step:
    hosts = f"[{', '.join(seen.mx_hosts)}]" if seen.mx_hosts else "[<your MX hosts>]"
    if seen.wanted:
        return Step(
            stage=Stage.NAME_MX,
            instruction="The policy needs MX hosts, and DNS may lie: compare the list above with what you know, then "
            f"write into the configuration of {seen.domain}: mta_sts.mx: {hosts}",
        )
    if seen.served is None and seen.record_id is None and seen.unanswered:
        return _unknown(seen)
    if seen.served is None and seen.record_id is None and seen.parked:
        return Step(
            stage=Stage.NOT_CONFIGURED,
            instruction="None: the domain takes no mail, so there is nothing that a policy would protect.",
        )
    if seen.served is None and seen.record_id is None:
        return Step(
            stage=Stage.NOT_CONFIGURED,
            instruction="No policy is configured. To begin, compare the list above with what you know, then write into "
            f"the configuration of {seen.domain}: mta_sts: {{mode: testing, mx: {hosts}}}",
        )
    return Step(
        stage=Stage.RETIRE_FIRST,
        instruction="No policy is configured, but senders still find one and keep their copies. Withdraw it by "
        "mta_sts: {mode: none, max_age: 86400} and ask again; never just delete it (RFC 8461, section 8.3).",
    )


def _unknown(seen: Situation) -> Step:
    return Step(
        stage=Stage.UNKNOWN,
        instruction=f"DNS does not answer for {', '.join(seen.unanswered)}, so nobody knows what senders see. Ask "
        "again, or ask another resolver with --nameserver; change nothing before.",
    )


def _serve(seen: Situation) -> Step:
    host = policy_host_name(seen.domain)
    if seen.served is None:
        why = f"senders get none: {seen.serving_fault}. Start the policy host and lead {host} to it"
    else:
        why = "senders still get another one. Reload the policy host (SIGHUP); look whether a proxy keeps the old body"
    return Step(
        stage=Stage.SERVE,
        instruction=f"The configured policy is not served; {why}. Leave the record as it is, and ask again.",
    )


def _withdraw(seen: Situation) -> Step:
    return Step(
        stage=Stage.WITHDRAW,
        instruction="Mode none is served and announced. Keep both for the longest max_age that was ever served before "
        f"(at most a year), counted from the day its record changed. Only then delete {record_name(seen.domain)}, then "
        f"{policy_host_name(seen.domain)}, then mta_sts from the configuration (RFC 8461, section 8.3).",
    )


def words_for(seconds: int) -> str:
    """A duration in words, in its two largest units."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    parts = []
    for name, size in units:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return " ".join(parts[:2]) or "0 seconds"
