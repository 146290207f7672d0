"""The result of looking at one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailposture.checks.reason import Reason


class Outcome(StrEnum):
    """What a check found."""

    GOOD = "good"
    WRONG = "wrong"
    MISSING = "missing"
    UNKNOWN = "unknown"  # it could not be seen from here; nobody is accused


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """What was looked at, what was found, and what to do about it."""

    check: str  # tls-rpt, mta-sts-record, mta-sts-policy, …: bounded, fit for a label
    subject: str  # the name that was looked at
    outcome: Outcome
    reason: Reason | None = None  # None when good
    detail: str = ""  # a sentence to show
    instruction: str = ""  # what to do; where it is a record, the line to paste
    published: str = ""  # the record as it stands in DNS; several in an order that is always the same, by lines
    policies: tuple[
        str, ...
    ] = ()  # DMARC: what receivers do for the domain, names below it, and those that do not exist

    @property
    def success(self) -> bool:
        """Whether there is nothing to do."""
        return self.outcome is Outcome.GOOD


@dataclass(frozen=True)
class Subject:
    """What a check looks at; makes the results about it."""

    check: str
    name: str

    def good(self, detail: str) -> CheckResult:
        """Nothing to do."""
        return CheckResult(check=self.check, subject=self.name, outcome=Outcome.GOOD, detail=detail)

    def wrong(self, reason: Reason, detail: str, instruction: str) -> CheckResult:
        """There, and not as it must be."""
        return self._bad(Outcome.WRONG, reason, detail, instruction)

    def missing(self, detail: str, instruction: str, *, reason: Reason = Reason.NO_RECORD) -> CheckResult:
        """Not there."""
        return self._bad(Outcome.MISSING, reason, detail, instruction)

    def unknown(self, reason: Reason, detail: str, instruction: str) -> CheckResult:
        """Not to be seen from here."""
        return self._bad(Outcome.UNKNOWN, reason, detail, instruction)

    def unanswered(self, detail: str, *, malformed: bool = False) -> CheckResult:
        """No nameserver answered, or none so that it can be read, which proves nothing about the record."""
        if malformed:
            instruction = "correct what the zone has there; senders cannot read it either, or each reads something else"
            return self.wrong(Reason.ANSWER_MALFORMED, detail, instruction)
        instruction = "see whether the domain's nameservers answer, or ask another resolver with --nameserver"
        return self.unknown(Reason.DNS_ERROR, detail, instruction)

    def _bad(self, outcome: Outcome, reason: Reason, detail: str, instruction: str) -> CheckResult:
        return CheckResult(
            check=self.check,
            subject=self.name,
            outcome=outcome,
            reason=reason,
            detail=detail,
            instruction=instruction,
        )
