"""SPF (RFC 7208): there, one, and usable; and what a parked domain says instead."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Resolver, Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.quoting import quoted
from mailposture.spf import MOST_LOOKUPS, MOST_VOID_LOOKUPS, SpfOutcome, UnansweredError, evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.spf import Ask

# Nobody sends from there (RFC 5737): the record is followed to its end, and whoever lets it send lets everybody.
_NOBODY = "192.0.2.1"
_LONGEST = 15.0  # seconds for all that a record includes
_ADDRESSES = ("A", "AAAA")
_UNSAID = ", so a receiver that looks at SPF alone refuses no forgery"


async def check_spf(domain: str, *, parked: bool, resolver: Resolver) -> CheckResult:
    """Whether exactly one SPF record says who may send; a domain that takes no mail should also send none."""
    subject = Subject("spf", domain)
    wanted = f'{domain}. 3600 IN TXT "v=spf1 {"" if parked else "mx "}-all"'
    answer = await resolver.lookup(domain, "TXT")
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail, malformed=answer.malformed)
    records = records_among(answer)
    if not records:
        return subject.missing(f"has no SPF record{_UNSAID if parked else ''}", wanted)
    if len(records) > 1:
        detail = f"has {len(records)} SPF records, which is an error for every receiver (RFC 7208, section 4.5)"
        result = subject.wrong(Reason.SEVERAL_RECORDS, detail, "join them into one")
    elif parked and (weak := weakness(records[0])) is not None:
        result = subject.wrong(Reason.PARKED_BUT_SENDS, f"sends no mail, but {weak}", wanted)
    else:
        result = await _followed(subject, records[0], resolver=resolver)
    return replace(result, published=answer.published(beginning="v=spf1"))


def records_among(answer: Answer) -> list[str]:
    """The SPF records among the TXT records at a name; where there are several, receivers use none."""
    return [text for text in _texts(answer) if re.match(r"v=spf1( |$)", text, re.IGNORECASE)]


def says_that_nobody_sends(record: str) -> bool:
    """Whether it is `v=spf1 -all`."""
    return record.lower().split()[1:] == ["-all"]


def weakness(record: str) -> str | None:
    """What the record of a domain that sends no mail allows in spite of that; None if nothing."""
    if says_that_nobody_sends(record):
        return None
    terms = record.lower().split()[1:]
    shown = quoted(record)
    last = terms[-1] if terms else ""
    if {"all", "+all"} & set(terms):
        return f"{shown} lets everybody send: SPF passes for any forgery, and with it DMARC"
    if not terms or terms in (["~all"], ["?all"]):
        return f"{shown} names nobody who sends, and does not ask to refuse whoever does ({last or 'no -all'})"
    return f"{shown} lets others send, whose mail then passes SPF and DMARC as the domain"


def asking(resolver: Resolver) -> Ask:
    """What SPF asks, asked of a resolver."""

    async def ask(name: str, record_type: str) -> Sequence[str]:
        return _plain(await resolver.lookup(name, record_type), record_type)

    return ask


async def _followed(subject: Subject, record: str, *, resolver: Resolver) -> CheckResult:
    """Judge a record with all that it includes."""
    found = await evaluate(client=_NOBODY, sender=subject.name, ask=asking(resolver), seconds=_LONGEST, count_all=True)
    if found.outcome is SpfOutcome.TEMPERROR:
        return subject.unanswered(f"what {quoted(record)} refers to is not known: {found.detail}")
    if found.lookups > MOST_LOOKUPS:
        detail = f"{quoted(record)} needs {found.lookups} look-ups in DNS, and receivers give up after {MOST_LOOKUPS}"
        instruction = (
            "take out services that no longer send for you, or let each send from a subdomain with a record of its own"
        )
        return subject.wrong(Reason.TOO_MANY_LOOKUPS, f"{detail} (RFC 7208, section 4.6.4)", instruction)
    if found.void_lookups > MOST_VOID_LOOKUPS:
        detail = (
            f"{quoted(record)} asks for {found.void_lookups} names that are not there, and receivers give up after "
            f"{MOST_VOID_LOOKUPS} (RFC 7208, section 4.6.4)"
        )
        return subject.wrong(Reason.TOO_MANY_VOID_LOOKUPS, detail, "take out what refers to hosts that are gone")
    if found.outcome is SpfOutcome.PERMERROR:
        detail = f"{quoted(record)} is an error for every receiver: {found.detail}"
        return subject.wrong(Reason.RECORD_INVALID, detail, "correct the term, or take it out")
    if found.outcome is SpfOutcome.PASS:
        instruction = (
            f'end with "-all", and let nothing before it match all addresses: {subject.name}. TXT "v=spf1 … -all"'
        )
        return subject.wrong(Reason.EVERYBODY_MAY_SEND, f"{quoted(record)} lets everybody send", instruction)
    return subject.good(f"{quoted(record)}, {found.lookups} of {MOST_LOOKUPS} look-ups")


def _plain(answer: Answer, record_type: str) -> list[str]:
    """An answer as SPF reads it; raises UnansweredError."""
    if answer.status is Status.FAILED:
        raise UnansweredError(answer.detail)
    if record_type == "TXT":
        return _texts(answer)
    if record_type in _ADDRESSES:
        return [record.address for record in answer.records]
    names = (record.exchange if record_type == "MX" else record.target for record in answer.records)
    return [name.to_text().rstrip(".") for name in names]


def _texts(answer: Answer) -> list[str]:
    return [text.decode("ascii", "replace") for text in answer.texts()] if answer.status is Status.FOUND else []
