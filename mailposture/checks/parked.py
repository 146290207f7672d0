"""A domain without mail: that this holds below it too, that no DKIM key speaks for it, and that it has no policy.

What is asked about stands for every name that has no records of its own: it is answered by a wildcard, if there is one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Answer, Resolver, Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.checks.spf import records_among, weakness
from mailposture.quoting import quoted
from mailposture.records import dkim_key, dmarc, mta_sts
from mailposture.records.dmarc import Policy
from mailposture.records.dns_records import no_key_record, no_sender_record, null_mx_record
from mailposture.records.formats import zone_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.dkim import KeyInUse

# Nobody has a host or a key of this name.
_ANY: Final = "mailposture-asks-for-the-wildcard"


async def check_subdomains(domain: str, *, resolver: Resolver) -> CheckResult:
    """Whether no name below the domain takes mail, lets anybody send, or weakens the DMARC policy, by a wildcard."""
    name, shown = f"{_ANY}.{domain}", f"*.{domain}"
    subject = Subject("subdomains", shown)
    mx, texts, policies = await asyncio.gather(
        resolver.lookup(name, "MX"), resolver.lookup(name, "TXT"), resolver.lookup(dmarc.record_name(name), "TXT")
    )
    addresses = await resolver.addresses(name) if mx.status is Status.ABSENT else None
    for answer in (mx, texts, policies, addresses):
        if answer is not None and answer.status is Status.FAILED:
            return subject.unanswered(answer.detail.replace(name, shown), malformed=answer.malformed)
    receives = _receives(mx, addresses)
    spf, policy = records_among(texts), dmarc.records_among(policies.texts())
    weak = next(filter(None, map(weakness, spf)), None)
    if receives is not None:
        alias = await resolver.lookup(name, "CNAME")
        place = "   ; in the place of the wildcard CNAME" if alias.status is Status.FOUND else ""
        detail = f"names below the domain that have no records of their own take mail: {receives}"
        result = subject.wrong(Reason.PARKED_BUT_RECEIVES, detail, zone_line(null_mx_record(shown)) + place)
    elif weak is not None:
        detail = f"names below the domain that have no records of their own: {weak}"
        result = subject.wrong(Reason.PARKED_BUT_SENDS, detail, zone_line(no_sender_record(shown)))
    elif any(record.applied("p") is not Policy.REJECT for record in policy):
        detail = f"each name below has {quoted(policy[0].text)} as its own DMARC policy, by a wildcard TXT record"
        instruction = f"take that out: the record at {dmarc.record_name(domain)} is for names below too"
        result = subject.wrong(Reason.PARKED_BUT_NOT_REJECTED, detail, instruction)
    else:
        null = mx.status is Status.FOUND
        result = subject.good("take no mail (null MX)" if null else "take no mail: no wildcard leads any to a server")
    return replace(result, published="\n".join(filter(None, (mx.published(), *spf, *(one.text for one in policy)))))


def _receives(mx: Answer, addresses: Answer | None) -> str | None:
    """Where mail to such a name goes; None if nowhere."""
    if mx.status is Status.FOUND:
        hosts = sorted({record.exchange.to_text().rstrip(".").lower() for record in mx.records})
        return None if hosts == [""] else f"a wildcard MX record leads to {', '.join(map(quoted, hosts[:5]))}"
    if addresses is not None and addresses.status is Status.FOUND:
        return (
            f"a wildcard leads to {addresses.records[0]}, and senders try the address of a name without MX record "
            "(RFC 5321, section 5.1)"
        )
    return None


async def check_no_keys(domain: str, keys: Sequence[KeyInUse], *, resolver: Resolver) -> tuple[CheckResult, ...]:
    """Whether no key speaks for the domain: not those that reports show, nor one of any other name."""
    selectors = dict.fromkeys(("*", *(key.selector for key in keys if key.domain == domain)))
    return tuple(await asyncio.gather(*(_no_key(domain, selector, resolver) for selector in selectors)))


async def _no_key(domain: str, selector: str, resolver: Resolver) -> CheckResult:
    shown = dkim_key.key_name(selector, domain)
    name = dkim_key.key_name(_ANY, domain) if selector == "*" else shown
    subject = Subject("dkim", shown)
    answer = await resolver.lookup(name, "TXT")
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail.replace(name, shown), malformed=answer.malformed)
    texts = answer.texts() if answer.status is Status.FOUND else ()
    keys = [text for text in texts if _is_key(text)]
    working = [key for key in keys if not dkim_key.is_revoked(dkim_key.read_tags(key))]
    if working:
        detail = "there is a key, and what is signed with it passes DKIM, and so DMARC, as the domain"
        result = subject.wrong(Reason.PARKED_BUT_SIGNS, detail, f"take it out; {zone_line(no_key_record(domain))}")
    elif not keys and selector == "*":
        detail = "there is no empty key, which says that no signature in the name of the domain is valid"
        result = subject.missing(detail, zone_line(no_key_record(domain)))
    else:
        result = subject.good("no signature is valid" if keys else "there is no such key")
    return replace(result, published=answer.published())


async def check_no_policy(domain: str, *, resolver: Resolver) -> CheckResult | None:
    """The record of an MTA-STS policy that is announced all the same; None if none is, or nobody answers."""
    name = mta_sts.record_name(domain)
    answer = await resolver.lookup(name, "TXT")
    if answer.status is not Status.FOUND or mta_sts.read_records(answer.texts()).id is None:
        return None
    detail = "announces an MTA-STS policy, and the domain takes no mail"
    instruction = f"take the record at {name} out, and {mta_sts.policy_host_name(domain)} with it"
    result = Subject("mta-sts-record", name).wrong(Reason.PARKED_BUT_HAS_POLICY, detail, instruction)
    return replace(result, published=answer.published())


def _is_key(text: bytes) -> bool:
    try:
        dkim_key.read_tags(text)
    except ValueError:
        return False
    return True
