"""Ready to enforce? What senders reported under a domain's MTA-STS policy and what is seen from here, weighed.

In mode testing senders deliver, and report, what mode enforce would refuse (RFC 8461, section 5). So weeks of testing
show in advance whose mail would be lost, if enough senders looked, and if the servers are still what they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from mailposture.checks.reason import Reason
from mailposture.checks.result import Outcome
from mailposture.clickhouse.clock import today
from reports.caption import caption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clickhouse_connect.driver import Client

    from mailposture.checks.result import CheckResult

_PROBED_DAYS = 7
_MOST = 20  # causes and senders that are named
_CONCERNED = ("mx", "mta-sts-record", "mta-sts-policy", "mta-sts-mx", "starttls")  # checks that enforce depends on
# What keeps mail away in every mode, as in the view: enforce makes it no worse.
_IN_EVERY_MODE = (
    Reason.TIMEOUT,
    Reason.UNREACHABLE,
    Reason.REFUSED,
    Reason.GREETING_REFUSED,
    Reason.SMTP_ERROR,
    Reason.MX_UNUSABLE,
    Reason.MX_WITHOUT_ADDRESS,
    Reason.NULL_MX,
)


class Verdict(StrEnum):
    """The words of the view mta_sts_readiness."""

    READY = "ready"
    NOT_READY = "not-ready"
    TOO_LITTLE_EVIDENCE = "too-little-evidence"
    PARKED = "parked"  # not in the view: the domain takes no mail, so there is nothing to enforce


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Sessions that mode enforce refuses: of one sender, for one cause (RFC 8460, section 4.3)."""

    result_type: str
    sender: str  # its caption
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """How often our probes of a server found nothing wrong lately."""

    receiving_mx: str
    probes: int
    successes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The verdict, and all that it rests on."""

    policy_domain: str
    verdict: Verdict
    reasons: tuple[str, ...]
    sessions: int = 0
    would_be_refused: int = 0
    reporters: int = 0  # senders that looked at the policy
    days: int = 0  # report days on which one did, of the last 30
    last_mode: str = ""
    refused: tuple[Refused, ...] = ()
    probed: tuple[Probed, ...] = ()
    seen: tuple[CheckResult, ...] = ()


def read_readiness(client: Client, domain: str, *, days: int) -> Readiness | None:
    """What reports say of a configured domain; None if the database does not know it (yet).

    The verdict is over the last 30 report days, as everywhere; causes and senders are listed over `days`.
    """
    found = client.query(_VERDICT, parameters={"domain": domain}).result_rows
    if not found:
        return None
    verdict, reasons, sessions, would_be_refused, reporters, seen_days, last_mode = found[0]
    end = today(client)
    refused = {"domain": domain, "start": end - timedelta(days=days), "end": end, "most": _MOST}
    probed = {"domain": domain, "start": end - timedelta(days=_PROBED_DAYS)}
    return Readiness(
        policy_domain=domain,
        verdict=Verdict(verdict),
        reasons=tuple(reasons),
        sessions=sessions,
        would_be_refused=would_be_refused,
        reporters=reporters,
        days=seen_days,
        last_mode=last_mode,
        refused=tuple(
            Refused(result_type=result_type, sender=sender, sessions=number)
            for result_type, sender, number in client.query(_REFUSED, parameters=refused).result_rows
        ),
        probed=tuple(
            Probed(receiving_mx=mx, probes=number, successes=successes)
            for mx, number, successes in client.query(_PROBED, parameters=probed).result_rows
        ),
    )


def with_what_is_seen(readiness: Readiness, results: Iterable[CheckResult]) -> Readiness:
    """Let what is wrong now outweigh what senders saw in weeks; what cannot be seen from here changes nothing."""
    seen = tuple(result for result in results if result.check in _CONCERNED)
    faults = [
        result
        for result in seen
        if result.outcome in {Outcome.WRONG, Outcome.MISSING} and result.reason not in _IN_EVERY_MODE
    ]
    return replace(
        readiness,
        verdict=Verdict.NOT_READY if faults else readiness.verdict,
        reasons=(*readiness.reasons, *(f"{fault.subject}: {fault.detail}." for fault in faults)),
        seen=seen,
    )


_VERDICT = """
    SELECT verdict, reasons, sessions, would_be_refused, reporters, days, last_mode
    FROM mta_sts_readiness WHERE policy_domain = {domain:String}
"""
_REFUSED = f"""
    SELECT result_type, {caption()} AS sender, sum(failed_sessions) AS sessions
    FROM tls_failure_details
    WHERE policy_domain = {{domain:String}} AND day >= {{start:Date}} AND day < {{end:Date}} AND policy_type = 'sts'
      AND (policy_domain, reporter, trust) IN (
        SELECT policy_domain, reporter, trust FROM tls_reporters WHERE counts AND standing != 'newcomer'
      )
      AND result_type NOT IN (SELECT term FROM failure_meanings WHERE kind = 'result-type' AND NOT refuses_mail)
    GROUP BY result_type, reporter, reporter_proven
    ORDER BY sessions DESC, result_type, sender
    LIMIT {{most:UInt8}}
"""
_PROBED = """
    SELECT receiving_mx, sum(probes), sum(successes)
    FROM probe_results_daily
    WHERE policy_domain = {domain:String} AND day >= {start:Date} AND probe = 'mx'
    GROUP BY receiving_mx
    ORDER BY receiving_mx
"""
