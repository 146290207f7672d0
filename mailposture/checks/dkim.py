"""The DKIM keys that reports show in use: there, usable, and long enough (RFC 6376, section 3.6.1; RFC 8301)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.records import dkim_key
from mailposture.records.dkim_key import KeyTooShortError, key_name, public_key, read_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.resolver import Resolver

MOST_KEYS = 50  # of a domain that are looked at
_AT_ONCE = 10
_ADVISED_RSA = 2048  # bits that signers should have (RFC 8301, section 3.2)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInUse:
    """A key that signed mail of a domain, as reports say."""

    domain: str  # d=
    selector: str
    # Not since then: it may have been replaced. A key may go once nothing signs with it, but not before.
    unused_since: str = ""  # a day; empty while it is in use


async def check_keys(keys: Sequence[KeyInUse], *, resolver: Resolver) -> tuple[CheckResult, ...]:
    """Look at each key, some at the same time."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def look(key: KeyInUse) -> CheckResult:
        async with slots:
            return await check_key(key, resolver=resolver)

    return tuple(await asyncio.gather(*map(look, keys[:MOST_KEYS])))


async def check_key(key: KeyInUse, *, resolver: Resolver) -> CheckResult:
    """Whether receivers can verify what the key signs."""
    name = key_name(key.selector, key.domain)
    subject = Subject("dkim", name)
    answer = await resolver.lookup(name, "TXT")
    if answer.status is Status.FAILED:
        return subject.unanswered(answer.detail, malformed=answer.malformed)
    if answer.status is Status.ABSENT:
        return _gone(subject, key, "there is no key record")
    texts = answer.texts()
    if len(texts) > 1:
        detail = f"has {len(texts)} TXT records, of which a receiver takes any (RFC 6376, section 3.6.2.2)"
        result = subject.wrong(Reason.SEVERAL_RECORDS, detail, "leave exactly one")
    else:
        result = _judge(subject, key, texts[0])
    return replace(result, published=answer.published())


def _judge(subject: Subject, key: KeyInUse, record: bytes) -> CheckResult:
    try:
        tags = read_tags(record)
        if dkim_key.is_revoked(tags):
            return _gone(subject, key, "is revoked (`p` is empty)", reason=Reason.KEY_REVOKED)
        algorithm, found = public_key(tags)
    except KeyTooShortError as error:
        instruction = f"sign with a key of {_ADVISED_RSA} bits under a new selector, then take this one out"
        return subject.wrong(Reason.KEY_TOO_SHORT, f"{error} (RFC 8301, section 3.2)", instruction)
    except ValueError as error:
        return subject.wrong(Reason.RECORD_INVALID, str(error), "publish the key again as your mail service prints it")
    if dkim_key.is_in_test(tags):
        detail = "is marked as a test (t=y), so receivers treat what it signs as unsigned (RFC 6376, section 3.6.1)"
        return subject.wrong(Reason.KEY_IN_TEST, detail, "take out `t=y`")
    if not isinstance(found, RSAPublicKey):
        return subject.good(f"{algorithm} key")
    short = f"; {_ADVISED_RSA} are advised (RFC 8301, section 3.2)" if found.key_size < _ADVISED_RSA else ""
    return subject.good(f"{algorithm} key of {found.key_size} bits{short}")


def _gone(subject: Subject, key: KeyInUse, detail: str, *, reason: Reason = Reason.NO_RECORD) -> CheckResult:
    """A key that is no longer there: an outage while mail is signed with it, and good manners afterwards."""
    if key.unused_since:
        return subject.good(f"{detail}, and nothing was signed with it since {key.unused_since}")
    words = f"{detail}, though reports show that mail is signed with it: that mail fails DKIM"
    instruction = "publish the key again until nothing signs with it, as your mail service prints it"
    return subject.missing(words, instruction, reason=reason)
