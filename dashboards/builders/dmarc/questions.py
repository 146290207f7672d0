"""The SQL that several dashboards about mail from our domains ask, of the view dmarc_sources_daily.

Own mail is what is ours whether it passes or not: the piles aligned, forwarded and ours-failing. Its rate is what of it
passes DMARC. What is unknown, perhaps forged, stands beside it: however much of that is blocked, it is no failure.
"""

from __future__ import annotations

from typing import Final

FAILS: Final = "passed_messages = 0"
"""Messages of a row pass or fail together."""

OWN: Final = "pile != 'unknown'"
UNKNOWN_DELIVERED: Final = "sumIf(delivered_messages, pile = 'unknown')"
UNKNOWN_BLOCKED: Final = "sumIf(quarantined_messages + rejected_messages, pile = 'unknown')"


def own_rate(condition: str = "1") -> str:
    """Share of own mail that passes DMARC, cut after four digits: it is 100 % only if nothing fails."""
    own = f"sumIf(messages, {OWN} AND {condition})"
    return f"floor(sumIf(passed_messages, {OWN} AND {condition}) / nullIf({own}, 0), 4)"


def share(passed: str, messages: str = "messages") -> str:
    """Share of messages, cut in the same way."""
    return f"floor(sum({passed}) / nullIf(sum({messages}), 0), 4)"


def part(passed: str, sent: str = "sent") -> str:
    """Share of messages that are added up already."""
    return f"floor({passed} / nullIf({sent}, 0), 4)"


def no_reports(where: str) -> str:
    """True if nobody reported: then nothing can be called good."""
    return f"(SELECT count() FROM dmarc_daily WHERE {where}) = 0"


NEXT_STEP: Final = "scope = 'domain' AND step = if(policy IN ('quarantine', 'reject'), 'reject', 'quarantine')"
"""SQL: of dmarc_readiness, the row about the next stricter policy of the domain itself."""

PILES: Final = f"""sumIf(messages, pile = 'aligned') AS "Authenticated",
                sumIf(messages, pile = 'forwarded') AS "Forwarded",
                sumIf(messages, pile = 'ours-failing') AS "Ours, failing",
                {UNKNOWN_DELIVERED} AS "Unknown, delivered",
                {UNKNOWN_BLOCKED} AS "Unknown, blocked\""""
"""SQL: messages by pile, what is unknown by what receivers did with it."""
