"""SPF (RFC 7208): may a client send mail in the name of a domain? Evaluated by spftrace, over DNS of the caller's.

A domain's record is untrusted input: it may include others without end, ask for names that nobody answers, or be as
long as DNS allows. So evaluation is bounded in terms, questions, bytes and time, and whatever the record is, the result
is one of RFC 8601's words.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spftrace import BaseResolver, DnsError, Evaluator, Limits, Result, SpfPermError

from mailposture.quoting import quoted

MOST_LOOKUPS: Final = 10  # terms that ask DNS (RFC 7208, section 4.6.4)
MOST_VOID_LOOKUPS: Final = 2  # questions without an answer
MOST_QUESTIONS: Final = 75  # ten `mx` with ten hosts each would be more
_LONGEST_ANSWER: Final = 8192  # bytes of text at a name; the longest record that receivers take well has 450
_HELO: Final = "unknown"  # nothing is decided by it


class SpfOutcome(StrEnum):
    """The results of RFC 7208, section 2.6."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"  # no record, or no domain
    TEMPERROR = "temperror"  # DNS did not answer: try again later
    PERMERROR = "permerror"  # the record cannot be evaluated


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfResult:
    """A result, and what it cost."""

    outcome: SpfOutcome
    detail: str = ""  # why there is no verdict, in words
    lookups: int = 0  # terms that asked DNS
    void_lookups: int = 0  # of their questions, those without an answer


class UnansweredError(Exception):
    """DNS has not answered."""


Ask = Callable[[str, str], Awaitable[Sequence[str]]]
"""What DNS has at a name: records of the type TXT (each in one piece), A, AAAA, MX (hosts) or PTR, as text; empty if
there is none, UnansweredError if nobody answers."""


class _Transport(BaseResolver):
    """DNS as spftrace asks it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def _lookup(self, name: str, rtype: str) -> tuple[str, list[str]]:
        try:
            answers = list(await self._ask(name, rtype))
        except UnansweredError as error:
            raise DnsError(str(error)) from error
        if sum(map(len, answers)) > _LONGEST_ANSWER:
            raise SpfPermError(f"there is more text at {quoted(name)} than an SPF record may need")
        return "NOERROR", answers


async def evaluate(*, client: str, sender: str, ask: Ask, seconds: float, count_all: bool = False) -> SpfResult:
    """Whether the IP address of a client may send as `sender` (an address, as in MAIL FROM, or its domain).

    `count_all`: go on behind the limits of RFC 7208 to see how many look-ups a record needs; it stays a permerror.
    """
    limits = Limits(
        max_terms=MOST_LOOKUPS,
        max_void=MOST_VOID_LOOKUPS,
        time_limit=seconds,
        max_queries=MOST_QUESTIONS,
        audit=count_all,
    )
    try:
        result = await Evaluator(_Transport(ask), limits).evaluate(client, sender, _HELO)
        outcome = SpfOutcome(result.verdict)
    except Exception as error:  # whatever a record makes of it, it must not stop anything else
        return SpfResult(outcome=SpfOutcome.PERMERROR, detail=f"cannot be evaluated ({quoted(repr(error))})")
    return SpfResult(
        outcome=outcome,
        detail=_why(result),
        lookups=result.dns_terms_used,
        void_lookups=result.void_lookups_used,
    )


def _why(result: Result) -> str:
    """The reason of an error, as spftrace has it."""
    reasons = [event.data["reason"] for event in result.trace.events if event.kind == "exit"]
    return quoted(reasons[-1]) if reasons else ""
