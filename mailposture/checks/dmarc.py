"""DMARC (RFC 9989): which policy applies to a domain, whether it can be used, and whether reports reach us."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.quoting import quoted
from mailposture.records import dmarc
from mailposture.records.dmarc import Policy
from mailposture.records.dns_records import authorization_record, dmarc_record
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.resolver import Answer, Resolver
    from mailposture.expectation import Expectation
    from mailposture.records.dmarc import DmarcRecord

_MOST_ADDRESSES = 10  # of a rua that are asked about
_FORGED = {Policy.NONE: "is delivered", Policy.QUARANTINE: "is put into the spam folder, and not rejected"}


@dataclass(frozen=True, kw_only=True)
class Applying:
    """The record that receivers apply to mail in the name of a domain, and where it is."""

    place: str
    record: DmarcRecord
    tag: str  # that says the policy: p, or sp where it is inherited

    @property
    def policy(self) -> Policy | None:
        """What receivers do, a test taken into account; None where they apply no DMARC."""
        return self.record.applied(self.tag)

    @property
    def policies(self) -> tuple[str, ...]:
        """What receivers do for mail of the domain, of names below it, and of those that do not exist."""
        below = (self.record.applied("sp"), self.record.applied("np"))
        return tuple((policy or Policy.NONE).value for policy in (self.policy, *below))


@dataclass(frozen=True, kw_only=True)
class Walk:
    """What a DNS tree walk found (RFC 9989, section 4.10)."""

    applying: Applying | None = None
    several: tuple[str, str] | None = None  # a place with several records, of which receivers use none, and these
    unanswered: str = ""  # a question that DNS did not answer, in words: then nothing else is known
    malformed: bool = False  # it did, but not so that it can be read


async def walk(domain: str, *, resolver: Resolver) -> Walk:
    """Find the record that applies to a domain, as receivers do."""
    found: list[tuple[str, DmarcRecord]] = []
    several: tuple[str, str] | None = None
    places = list(dmarc.places(domain))
    for place in places:
        answer = await resolver.lookup(dmarc.record_name(place), "TXT")
        if answer.status is Status.FAILED:
            return Walk(unanswered=answer.detail, malformed=answer.malformed)
        records = dmarc.records_among(answer.texts()) if answer.status is Status.FOUND else []
        if len(records) > 1:
            several = several or (place, "\n".join(sorted(record.text for record in records)))
        elif records:
            found.append((place, records[0]))
            if place == domain or records[0].psd in ("y", "n"):
                break
    return Walk(applying=_applying(found, places), several=several)


def _applying(found: Sequence[tuple[str, DmarcRecord]], places: Sequence[str]) -> Applying | None:
    """The record of the domain, else of its organizational domain, else of the public suffix above that."""
    if not found:
        return None
    place, record = found[-1]
    if record.psd == "y" and place != places[0]:
        below = places[places.index(place) - 1]  # the organizational domain
        place, record = next((one for one in found if one[0] == below), (place, record))
    inherited = place != places[0]
    return Applying(place=place, record=record, tag="sp" if inherited and "sp" in record.tags else "p")


@dataclass(frozen=True, kw_only=True)
class DmarcLookup:
    """The `_dmarc` record that applies, and whether the domains of its addresses of ours take the reports."""

    result: CheckResult
    authorization: CheckResult | None = None  # None where none is needed


async def check_dmarc(expected: Expectation, *, parked: bool, resolver: Resolver) -> DmarcLookup:
    """Whether a DMARC policy applies that receivers can use, and reports about it reach us if they are to."""
    domain = expected.domain
    subject = Subject("dmarc", dmarc.record_name(domain))
    seen = await walk(domain, resolver=resolver)
    if seen.unanswered:
        return DmarcLookup(result=subject.unanswered(seen.unanswered, malformed=seen.malformed))
    wanted = zone_line(dmarc_record(domain, next_record(expected, seen, parked=parked)))
    if seen.several is not None and (seen.several[0] == domain or seen.applying is None):
        place, texts = seen.several
        number = texts.count("\n") + 1
        detail = f"{number} DMARC records at {dmarc.record_name(place)}, which count as none"
        result = subject.wrong(Reason.SEVERAL_RECORDS, detail, "leave exactly one")
        return DmarcLookup(result=replace(result, published=texts))
    applying = seen.applying
    if applying is None:
        open_to_all = ": forged mail in its name is delivered" if parked else ""
        return DmarcLookup(result=subject.missing(f"no DMARC policy applies{open_to_all}", wanted))
    return DmarcLookup(
        result=replace(
            _judge(subject, expected, applying, parked=parked, wanted=wanted),
            published=applying.record.text,
            policies=applying.policies,
        ),
        authorization=await _authorization(expected, applying, resolver=resolver),
    )


def next_record(expected: Expectation, seen: Walk, *, parked: bool) -> str:
    """The text to publish: what applies now, with our addresses; p=none as the first step where nothing applies.

    A domain that inherits a policy keeps it: a record of its own with p=none would take the protection away.
    """
    domain, ours = expected.domain, _addresses(expected, parked=parked)
    applying = seen.applying
    if parked:
        return dmarc.render_parked_record(ours)
    if applying is None or (seen.several is not None and seen.several[0] == domain):
        return dmarc.render_record(destinations=ours)
    if applying.place == domain:
        has_ours = any(map(expected.reaches_us, applying.record.rua))
        return dmarc.with_destinations(applying.record, () if has_ours else ours)
    return dmarc.render_record(policy=applying.record.requested(applying.tag) or Policy.NONE, destinations=ours)


def _addresses(expected: Expectation, *, parked: bool) -> tuple[str, ...]:
    """Ours; for a domain that is not configured the usual one, unless it takes no mail."""
    if expected.dmarc_destinations or expected.parked is not None or parked:
        return expected.dmarc_destinations
    return (f"mailto:dmarc@{expected.domain}",)


def _judge(subject: Subject, expected: Expectation, applying: Applying, *, parked: bool, wanted: str) -> CheckResult:
    record, policy = applying.record, applying.policy
    where = dmarc.record_name(applying.place)
    if record.faults:
        return subject.wrong(Reason.RECORD_INVALID, f"the record at {where}: {_joined(record.faults)}", wanted)
    requested = record.requested(applying.tag)
    said = f"{applying.tag}={requested} of {where}"
    if record.testing:
        said += f", in a test (t=y), so receivers apply {policy}"
    elif record.reservation:
        said += f", for a part of the mail ({record.reservation}), so older receivers apply {policy} to the rest"
    weak = _weakness(applying, said) if parked else None
    if weak is not None:
        return subject.wrong(Reason.PARKED_BUT_NOT_REJECTED, f"sends no mail, but {weak}", wanted)
    if expected.dmarc_destinations and not record.rua:
        return subject.wrong(Reason.NO_REPORT_ADDRESS, f"{said} asks for no reports (no `rua`)", wanted)
    if expected.dmarc_destinations and not any(map(expected.reaches_us, record.rua)):
        shown = _joined([quoted(uri) for uri in record.rua], ", ")
        return subject.wrong(Reason.REPORTS_GO_ELSEWHERE, f"{said}: reports go to {shown}, not to us", wanted)
    below = " is for all names below too, which need no SPF record of their own for that" if parked else ""
    return subject.good("; ".join((said + below, *record.remarks[:_MOST_ADDRESSES])))


def _weakness(applying: Applying, said: str) -> str | None:
    """Why receivers do not reject all forged mail of a domain that sends none; None if they do."""
    record = applying.record
    if applying.policy is not Policy.REJECT:
        applies = "" if record.reservation else " applies"
        return f"{said}{applies}: forged mail {_FORGED[applying.policy or Policy.NONE]}"
    for tag in ("sp", "np"):
        if tag in record.tags and record.applied(tag) is not Policy.REJECT:
            which = "names below it" if tag == "sp" else "names below it that do not exist"
            done = _FORGED[record.applied(tag) or Policy.NONE]
            return f"{tag}={record.requested(tag)} applies to {which}: forged mail of those {done}"
    return None


async def _authorization(expected: Expectation, applying: Applying, *, resolver: Resolver) -> CheckResult | None:
    """Whether each of our addresses elsewhere takes reports about the policy's domain (RFC 9990, section 4)."""
    elsewhere = [
        uri
        for uri in dict.fromkeys(applying.record.rua)
        if expected.reaches_us(uri) and dmarc.needs_authorization(applying.place, uri)
    ][:_MOST_ADDRESSES]
    results = await asyncio.gather(*(_authorized(applying.place, uri, resolver) for uri in elsewhere))
    return next((one for one in results if not one.success), next(iter(results), None))


async def _authorized(domain: str, uri: str, resolver: Resolver) -> CheckResult:
    name = dmarc.authorization_name(domain, uri)
    subject = Subject("dmarc-authorization", name)
    wanted = zone_line(authorization_record(domain, uri, zone=None))
    answer: Answer = await resolver.lookup(name, "TXT")
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail, malformed=answer.malformed)
    records = dmarc.records_among(answer.texts()) if answer.status is Status.FOUND else []
    if len(records) == 1:
        return replace(subject.good(f"takes reports about {domain}"), published=records[0].text)
    detail = f"nothing says that reports about {domain} may be sent to {quoted(uri)}, so none are (RFC 9990, section 4)"
    if records:
        detail = f"{len(records)} records, of which none counts: no reports about {domain} are sent to {quoted(uri)}"
        return subject.wrong(Reason.SEVERAL_RECORDS, detail, "leave exactly one")
    return subject.missing(detail, wanted)


def _joined(words: Sequence[str], separator: str = "; ") -> str:
    """A record may have thousands of tags."""
    more = f"{separator}and {len(words) - _MOST_ADDRESSES} more" if len(words) > _MOST_ADDRESSES else ""
    return separator.join(words[:_MOST_ADDRESSES]) + more
