"""SPF (RFC 7208) and DMARC (RFC 9989): there, one, and usable; and what a parked domain says instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Resolver, Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.quoting import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLICIES = ("none", "quarantine", "reject")
_LONGEST_WALK = 8  # queries of a DNS tree walk at most (RFC 9989, section 4.10)


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


async def check_dmarc(domain: str, *, parked: bool, resolver: Resolver) -> CheckResult:
    """Whether a DMARC policy applies: the domain's own, or its organizational domain's (RFC 9989, section 4.10)."""
    subject = Subject("dmarc", f"_dmarc.{domain}")
    # Who takes no mail takes no reports about it either, at least not there.
    tags = "p=reject" if parked else f"p=none; rua=mailto:dmarc@{domain}"
    wanted = f'{subject.name}. 3600 IN TXT "v=DMARC1; {tags}"'
    applying: tuple[str, str, str] | None = None  # where, tag, policy
    for place in _tree_walk(domain):
        answer = await resolver.lookup(f"_dmarc.{place}", "TXT")
        if answer.status is Status.FAILED:
            return subject.unanswered(answer.detail)
        records = [text for text in _texts(answer) if re.match(r"v=DMARC1\s*(;|$)", text)]
        if len(records) > 1:
            detail = f"{len(records)} DMARC records at _dmarc.{place}, which count as none"
            return subject.wrong(Reason.SEVERAL_RECORDS, detail, "leave exactly one")
        if not records:
            continue
        found = _tags(records[0])
        if place == domain:
            applying = (place, "p", _policy(found, "p"))
            break
        if found.get("psd") != "y":  # a public suffix speaks for nobody's organization
            tag = "sp" if "sp" in found else "p"
            applying = (place, tag, _policy(found, tag))
    if applying is None:
        return subject.missing("no DMARC policy applies", wanted)
    place, tag, policy = applying
    if policy not in _POLICIES:
        return subject.wrong(Reason.RECORD_INVALID, f"the record at _dmarc.{place} has {tag}={quoted(policy)}", wanted)
    if parked and policy != "reject":
        detail = f"takes no mail, but {tag}={policy} of _dmarc.{place} applies"
        return subject.wrong(Reason.PARKED_BUT_NOT_REJECTED, detail, wanted)
    return subject.good(f"{tag}={policy} of _dmarc.{place}")


def _policy(tags: dict[str, str], tag: str) -> str:
    """The policy of a record; without `p`, one that asks for reports means none (RFC 9989, section 4.7)."""
    return tags.get(tag, "none" if "rua" in tags else "").lower()


def _tree_walk(domain: str) -> Iterator[str]:
    """The domain and the places above it where an inherited policy may be, never a top-level domain alone."""
    labels = domain.split(".")
    yield domain
    above = labels[1:] if len(labels) <= _LONGEST_WALK else labels[-(_LONGEST_WALK - 1) :]
    while len(above) > 1:
        yield ".".join(above)
        above = above[1:]


def _tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";"))
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def _texts(answer: Answer) -> list[str]:
    return [text.decode("ascii", "replace") for text in answer.texts()] if answer.status is Status.FOUND else []
