"""The records at and below a domain, as senders read them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailposture.checks.resolver import Answer, Resolver, Status
from mailposture.checks.result import CheckResult, Outcome, Subject
from mailposture.domain_names import normalize
from mailposture.quoting import quoted
from mailposture.records import mta_sts, tls_rpt
from mailposture.records.dns_records import DnsRecord
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Collection

_MOST_HOSTS = 100  # MX hosts that are looked at: a zone could list thousands
_HOSTS_AT_ONCE = 20  # as a slow nameserver must not add up


@dataclass(frozen=True, kw_only=True)
class MxLookup:
    """The MX hosts of a domain, best first. `parked`: the domain says that it takes no mail (RFC 7505)."""

    result: CheckResult
    hosts: tuple[str, ...] = ()
    parked: bool = False
    authenticated: bool = False


async def check_mx(domain: str, *, resolver: Resolver) -> MxLookup:
    """Look up the MX hosts and whether each has an address and is no alias (RFC 5321, section 5.1)."""
    subject = Subject("mx", domain)
    answer = await resolver.lookup(domain, "MX")
    if answer.status is not Status.FOUND:
        instruction = f"{domain}. 3600 IN MX 10 <host>   ; or, if it takes no mail: {domain}. 3600 IN MX 0 ."
        return MxLookup(result=_absent(subject, answer, instruction))
    ordered = sorted(answer.records, key=lambda record: (record.preference, record.exchange))
    if [record.exchange.to_text() for record in ordered] == ["."]:
        result = subject.good("takes no mail (null MX, RFC 7505)")
        return MxLookup(result=result, parked=True)
    names = [record.exchange.to_text().rstrip(".").lower() for record in ordered]
    hosts = tuple(dict.fromkeys(host for name in names if (host := normalize(name)) is not None))
    faults = [f"{quoted(name)} is not a host name" for name in names if normalize(name) is None]
    slots = asyncio.Semaphore(_HOSTS_AT_ONCE)
    found = await asyncio.gather(*(_look_at_host(host, resolver, slots) for host in hosts[:_MOST_HOSTS]))
    faults += [detail for outcome, detail in found if outcome is Outcome.WRONG]
    unanswered = [detail for outcome, detail in found if outcome is Outcome.UNKNOWN]
    if faults:
        instruction = "let each MX record name a host that has A or AAAA records of its own"
        result = subject.wrong("mx-unusable", "; ".join(faults), instruction)
    elif unanswered:
        result = subject.unanswered("; ".join(unanswered))
    else:
        result = subject.good(", ".join(hosts))
    return MxLookup(result=result, hosts=hosts, authenticated=answer.authenticated)


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


async def check_tls_rpt(
    domain: str, *, resolver: Resolver, expected: str | None = None, ours: Collection[str] = ()
) -> CheckResult:
    """Whether senders know where to report to.

    `expected` is the text that our configuration asks for, `ours` the URIs of which one at least must be named.
    """
    name = tls_rpt.record_name(domain)
    subject = Subject("tls-rpt", name)
    wanted = _txt_line(name, expected or tls_rpt.render_record([f"mailto:tlsrpt@{domain}"]))
    answer = await resolver.lookup(name, "TXT")
    if answer.status is not Status.FOUND:
        return _absent(subject, answer, wanted)
    reading = tls_rpt.read_records(answer.texts())
    if reading.faults:
        return subject.wrong("record-invalid", "; ".join(reading.faults), wanted)
    if ours and not set(ours) & set(map(tls_rpt.comparable, reading.destinations)):
        detail = f"reports go to {', '.join(reading.destinations)}, not to us"
        return subject.wrong("reports-go-elsewhere", detail, wanted)
    return subject.good(f"reports go to {', '.join(reading.destinations)}")


@dataclass(frozen=True, kw_only=True)
class StsRecordLookup:
    """The `_mta-sts` record: its id, and for how long resolvers keep it."""

    result: CheckResult
    id: str | None = None
    ttl: int = 0


async def check_mta_sts_record(domain: str, *, resolver: Resolver, expected: str | None = None) -> StsRecordLookup:
    """Whether senders learn that there is a policy; `expected` is the text that our configuration asks for."""
    name = mta_sts.record_name(domain)
    subject = Subject("mta-sts-record", name)
    wanted = _txt_line(name, expected or "v=STSv1; id=<new with every change of the policy>;")
    wanted += f"   ; once `mailposture policy {domain}` says so" if expected else "   ; once the policy is served"
    answer = await resolver.lookup(name, "TXT")
    if answer.status is not Status.FOUND:
        return StsRecordLookup(result=_absent(subject, answer, wanted))
    reading = mta_sts.read_records(answer.texts())
    if reading.id is None:
        fault = "; ".join(reading.faults)
        return StsRecordLookup(result=subject.wrong("record-invalid", fault, wanted), ttl=answer.ttl)
    ours = mta_sts.read_records([expected.encode()]).id if expected else reading.id
    if reading.id != ours:
        result = subject.wrong(
            "id-differs",
            f"has id {reading.id}, while the configured policy has {ours}: senders with a copy miss the change",
            wanted,
        )
    else:
        result = subject.good(f"id {reading.id}")
    return StsRecordLookup(result=result, id=reading.id, ttl=answer.ttl)


def _txt_line(name: str, text: str) -> str:
    return zone_line(DnsRecord(name=name, type="TXT", value=text, note=""))


def _absent(subject: Subject, answer: Answer, instruction: str) -> CheckResult:
    """Nothing there, or nobody who answers: the second is no proof of the first."""
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail)
    return subject.missing(answer.detail, instruction)
