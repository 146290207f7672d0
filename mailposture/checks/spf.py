"""SPF (RFC 7208): there, one, and usable; and what a parked domain says instead."""

from __future__ import annotations

import re

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Resolver, Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.quoting import quoted


async def check_spf(domain: str, *, parked: bool, resolver: Resolver) -> CheckResult:
    """Whether exactly one SPF record says who may send; a domain that takes no mail should also send none."""
    subject = Subject("spf", domain)
    wanted = f'{domain}. 3600 IN TXT "v=spf1 {"" if parked else "mx "}-all"'
    answer = await resolver.lookup(domain, "TXT")
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail)
    records = [text for text in _texts(answer) if re.match(r"v=spf1( |$)", text, re.IGNORECASE)]
    if not records:
        return subject.missing("has no SPF record", wanted)
    if len(records) > 1:
        detail = f"has {len(records)} SPF records, which is an error for every receiver (RFC 7208, section 4.5)"
        return subject.wrong(Reason.SEVERAL_RECORDS, detail, "join them into one")
    terms = records[0].lower().split()[1:]
    if parked and terms != ["-all"]:
        return subject.wrong(Reason.PARKED_BUT_SENDS, f"takes no mail, but has {quoted(records[0])}", wanted)
    if {"all", "+all"} & set(terms):
        return subject.wrong(Reason.EVERYBODY_MAY_SEND, f"{quoted(records[0])} lets everybody send", wanted)
    return subject.good(quoted(records[0]))


def _texts(answer: Answer) -> list[str]:
    return [text.decode("ascii", "replace") for text in answer.texts()] if answer.status is Status.FOUND else []
