"""The records at and below a domain, as senders read them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Resolver, Status
from mailposture.checks.result import CheckResult, Outcome, Subject
from mailposture.domain_names import normalize
from mailposture.quoting import quoted
from mailposture.records import mta_sts, tls_rpt
from mailposture.records.dns_records import DnsRecord, null_mx_record, tls_rpt_record
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.expectation import Expectation

_MOST_HOSTS = 100  # MX hosts that are looked at: a zone could list thousands
_MOST_NAMED = 20
_HOSTS_AT_ONCE = 20  # as a slow nameserver must not add up


@dataclass(frozen=True, kw_only=True)
class MxLookup:
    """The MX hosts of a domain, best first. `null`: DNS says that the domain takes no mail (RFC 7505)."""

    result: CheckResult
    hosts: tuple[str, ...] = ()
    null: bool = False
    authenticated: bool = False


async def check_mx(expected: Expectation, *, resolver: Resolver) -> MxLookup:
    """Look up the MX hosts and whether each has an address and is no alias (RFC 5321, section 5.1)."""
    domain = expected.domain
    subject = Subject("mx", domain)
    answer = await resolver.lookup(domain, "MX")
    if answer.status is Status.FAILED:
        return MxLookup(result=subject.unanswered(answer.detail, malformed=answer.malformed))
    if answer.status is Status.ABSENT:
        if expected.parked:
            return MxLookup(result=await _without_mx(subject, resolver))
        parked = f"if it takes no mail: {_null_mx(domain)}, and `parked: true` in its configuration"
        instruction = f"{domain}. 3600 IN MX 10 <host>   ; or, {parked}"
        return MxLookup(result=subject.missing(answer.detail, instruction))
    ordered = sorted(answer.records, key=lambda record: (record.preference, record.exchange))
    names = [record.exchange.to_text().rstrip(".").lower() for record in ordered]
    published = answer.published()
    if names == [""]:
        result = replace(_null(subject, expected), published=published)
        return MxLookup(result=result, null=True, authenticated=answer.authenticated)
    if expected.parked:
        detail = f"is parked in the configuration, but mail for it goes to {_shortened(names)}"
        result = subject.wrong(Reason.PARKED_BUT_RECEIVES, detail, _null_mx(domain))
    else:
        result = await _judge_hosts(subject, names, resolver)
    hosts = tuple(dict.fromkeys(host for name in names if (host := normalize(name)) is not None))
    return MxLookup(result=replace(result, published=published), hosts=hosts, authenticated=answer.authenticated)


async def _judge_hosts(subject: Subject, names: Sequence[str], resolver: Resolver) -> CheckResult:
    """Whether each MX record names a host that mail can be sent to; an answer that is lacking accuses nobody."""
    faults = [f"{quoted(name)} is not a host name" for name in names if normalize(name) is None]
    hosts = list(dict.fromkeys(filter(None, map(normalize, names))))
    slots = asyncio.Semaphore(_HOSTS_AT_ONCE)
    looks = await asyncio.gather(*(_look_at_host(host, resolver, slots) for host in hosts[:_MOST_HOSTS]))
    faults += [detail for outcome, detail in looks if outcome is Outcome.WRONG]
    unanswered = [detail for outcome, detail in looks if outcome is Outcome.UNKNOWN]
    if faults:
        instruction = "let each MX record name a host that has A or AAAA records of its own"
        return subject.wrong(Reason.MX_UNUSABLE, _shortened(faults, "; "), instruction)
    if unanswered:
        return subject.unanswered(_shortened(unanswered, "; "))
    return subject.good(_shortened(hosts))


def _null_mx(domain: str) -> str:
    return zone_line(null_mx_record(domain))


def _null(subject: Subject, expected: Expectation) -> CheckResult:
    """What a null MX is: right for a parked domain, an outage for one that is to receive mail."""
    if expected.parked is False:
        detail = "takes no mail (null MX, RFC 7505), though the configuration expects some: senders return it at once"
        return subject.wrong(
            Reason.NULL_MX, detail, "publish MX records, or write `parked: true` into its configuration"
        )
    return subject.good("takes no mail (null MX, RFC 7505)")


async def _without_mx(subject: Subject, resolver: Resolver) -> CheckResult:
    """Without MX record mail goes to the address of the domain, if it has one (RFC 5321, section 5.1)."""
    addresses = await resolver.addresses(subject.name)
    if addresses.status is Status.FAILED:
        return subject.unanswered(addresses.detail, malformed=addresses.malformed)
    if addresses.status is Status.ABSENT:
        return subject.good("takes no mail: it has neither MX records nor an address")
    detail = "is parked in the configuration, but has no MX record, so senders try its address (RFC 5321, section 5.1)"
    return subject.wrong(Reason.PARKED_BUT_RECEIVES, detail, _null_mx(subject.name))


def _shortened(words: Sequence[str], separator: str = ", ") -> str:
    """A zone may name thousands."""
    more = f"{separator}and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
    return separator.join(words[:_MOST_NAMED]) + more


async def _look_at_host(host: str, resolver: Resolver, slots: asyncio.Semaphore) -> tuple[Outcome, str]:
    if host.rpartition(".")[2].isdigit():
        return Outcome.WRONG, f"{host} is an address, where an MX record must name a host (RFC 5321, section 5.1)"
    async with slots:
        alias, addresses = await asyncio.gather(resolver.lookup(host, "CNAME"), resolver.addresses(host))
    if alias.status is Status.FOUND:
        return Outcome.WRONG, f"{host} is an alias (CNAME), which an MX must not name (RFC 2181, section 10.3)"
    if addresses.status is Status.ABSENT:
        return Outcome.WRONG, f"{host} has no address"
    return (Outcome.UNKNOWN, addresses.detail) if addresses.status is Status.FAILED else (Outcome.GOOD, "")


async def check_tls_rpt(expected: Expectation, *, resolver: Resolver) -> CheckResult:
    """Whether senders know where to report to, and report to us if they are expected to."""
    domain = expected.domain
    name = tls_rpt.record_name(domain)
    subject = Subject("tls-rpt", name)
    record = expected.record(name) or tls_rpt_record(domain, [f"mailto:tlsrpt@{domain}"])
    wanted = zone_line(record)
    answer = await resolver.lookup(name, "TXT")
    if answer.status is not Status.FOUND:
        return _absent(subject, answer, wanted)
    return replace(_judge_tls_rpt(subject, expected, answer, wanted), published=answer.published())


def _judge_tls_rpt(subject: Subject, expected: Expectation, answer: Answer, wanted: str) -> CheckResult:
    reading = tls_rpt.read_records(answer.texts())
    if reading.faults:
        return subject.wrong(Reason.RECORD_INVALID, _shortened(reading.faults, "; "), wanted)
    destinations = _shortened(reading.destinations)
    if expected.reports and not any(map(expected.reaches_us, reading.destinations)):
        return subject.wrong(Reason.REPORTS_GO_ELSEWHERE, f"reports go to {destinations}, not to us", wanted)
    return subject.good(f"reports go to {destinations}")


@dataclass(frozen=True, kw_only=True)
class StsRecordLookup:
    """The `_mta-sts` record: its id, and for how long resolvers keep it."""

    result: CheckResult
    id: str | None = None
    ttl: int = 0


async def check_mta_sts_record(expected: Expectation, *, resolver: Resolver) -> StsRecordLookup:
    """Whether senders learn that there is a policy, and by the id of the policy that is expected."""
    name = mta_sts.record_name(expected.domain)
    subject = Subject("mta-sts-record", name)
    record = expected.record(name)
    if record is not None:
        wanted = f"{zone_line(record)}   ; once `mailposture policy {expected.domain}` says so"
    else:
        text = "v=STSv1; id=<new with every change of the policy>;"
        line = zone_line(DnsRecord(name=name, type="TXT", value=text, note=""))
        wanted = f"{line}   ; once the policy is served"
    answer = await resolver.lookup(name, "TXT")
    if answer.status is not Status.FOUND:
        return StsRecordLookup(result=_absent(subject, answer, wanted))
    reading = mta_sts.read_records(answer.texts())
    published = answer.published()
    if reading.id is None:
        invalid = subject.wrong(Reason.RECORD_INVALID, _shortened(reading.faults, "; "), wanted)
        return StsRecordLookup(result=replace(invalid, published=published), ttl=answer.ttl)
    body = expected.policy_body
    ours = mta_sts.policy_id(body) if body is not None else reading.id
    if reading.id != ours:
        result = subject.wrong(
            Reason.ID_DIFFERS,
            f"has id {reading.id}, while the configured policy has {ours}: senders with a copy miss the change",
            wanted,
        )
    else:
        result = subject.good(f"id {reading.id}")
    return StsRecordLookup(result=replace(result, published=published), id=reading.id, ttl=answer.ttl)


def _absent(subject: Subject, answer: Answer, instruction: str) -> CheckResult:
    """Nothing there, or nobody who answers: the second is no proof of the first."""
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail, malformed=answer.malformed)
    return subject.missing(answer.detail, instruction)
