"""Mails in, who signed them out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from collector.dkim import canonical, signature
from collector.dkim.canonical import Mail, UnreadableError
from collector.dkim.keys import KeyCache, KeyLookup, NoKey, Unanswered
from collector.dkim.signature import BadSignatureError, Signature

MOST_SIGNATURES = 5  # that are looked at, from the top; real mails have one to three


class Outcome(StrEnum):
    """What the signatures of one mail add up to."""

    VALID = "valid"  # at least one holds
    NO_SIGNATURE = "no-signature"
    INVALID = "invalid"  # none holds, and none ever will
    DNS_FAILURE = "dns-failure"  # none holds yet: DNS did not answer, ask again later


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResult:
    """Who signed a mail."""

    outcome: Outcome
    domains: tuple[str, ...] = ()  # every d= whose signature holds
    unanswered: tuple[str, ...] = ()  # every d= whose key DNS did not tell
    author: str = ""  # the From field as it stands in the mail
    detail: str = ""  # for people: what is wrong with the signatures that do not hold


@dataclass(frozen=True, slots=True)
class _Examined:
    """A mail taken apart, its signatures read, their keys not yet known."""

    mail: Mail | None
    signatures: tuple[Signature, ...]
    faults: tuple[str, ...]


class DkimVerifier:
    """Verifies mails by the rules of RFC 6376 and RFC 8460, section 3. Threads may share one."""

    def __init__(self, *, keys: KeyCache, patience: float = 0.5) -> None:
        """`patience`: seconds that a call waits for DNS, in all; what is late is a DNS_FAILURE for now."""
        self._keys = keys
        self._patience = patience

    def verify(self, message: bytes, *, now: datetime | None = None) -> DkimResult:
        """Verify one mail."""
        return self.verify_all([message], now=now)[0]

    def verify_all(self, messages: Sequence[bytes], *, now: datetime | None = None) -> list[DkimResult]:
        """Verify many mails; keys that are not cached are looked up together, before any is needed."""
        moment = now or datetime.now(UTC)
        examined = [_examine(message, moment) for message in messages]
        names = {each.key_name for one in examined for each in one.signatures}
        keys = self._keys.look_up(names, patience=self._patience) if names else {}
        return [_conclude(one, keys) for one in examined]


def _examine(message: bytes, now: datetime) -> _Examined:
    try:
        mail = canonical.read(message)
    except UnreadableError as error:
        return _Examined(None, (), (f"{error}, so no signature of it can be trusted",))
    signatures, faults = [], []
    for field in mail.fields.get(b"dkim-signature", ())[:MOST_SIGNATURES]:
        try:
            signatures.append(signature.read(field, now))
        except BadSignatureError as error:
            faults.append(_sentence(error.domain, error.reason))
    return _Examined(mail, tuple(signatures), tuple(faults))


def _conclude(examined: _Examined, keys: Mapping[str, KeyLookup]) -> DkimResult:
    mail = examined.mail
    if mail is None:
        return DkimResult(outcome=Outcome.INVALID, detail=examined.faults[0])
    author = b" ".join(mail.values(b"from")).decode("utf-8", "replace")
    valid, unanswered, faults = [], [], list(examined.faults)
    for each in examined.signatures:
        key = keys[each.key_name]
        if isinstance(key, Unanswered):
            unanswered.append(each.domain)
            faults.append(_sentence(each.domain, f"cannot be checked now: {key.reason}"))
        elif isinstance(key, NoKey):
            faults.append(_sentence(each.domain, key.reason))
        else:
            try:
                signature.verify(each, mail, key)
            except BadSignatureError as error:
                faults.append(_sentence(error.domain, error.reason))
            else:
                valid.append(each.domain)
    if valid:
        outcome = Outcome.VALID
    elif unanswered:
        outcome = Outcome.DNS_FAILURE
    else:
        outcome = Outcome.INVALID if faults else Outcome.NO_SIGNATURE
    return DkimResult(
        outcome=outcome,
        domains=_once(valid),
        unanswered=_once(unanswered),
        author=author,
        detail="; ".join(faults) or ("" if valid else "the mail has no DKIM signature"),
    )


def _sentence(domain: str, reason: str) -> str:
    return f"DKIM signature of {domain} {reason}" if domain else f"a DKIM signature {reason}"


def _once(domains: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(domains))
