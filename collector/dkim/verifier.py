"""Mails in, what their signatures prove out.

A signature proves that a domain sent certain header fields above a certain body. Other fields, and other copies of
the same fields, may be anybody's, and so may be whatever canonicalization does not see. Who goes on reading must read
what was proven: it is returned as a `Proof`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from collector.dkim import canonical, signature
from collector.dkim.canonical import Mail, UnreadableError
from collector.dkim.keys import KeyCache, KeyLookup, NoKey, Unanswered
from collector.dkim.signature import BadSignatureError, Signature
from collector.dkim.times import Timeliness, arrival, arrival_after, timeliness

MOST_SIGNATURES = 5  # that are looked at, from the top; real mails have one to three

Policy = Callable[[Signature, Mail], bool]
"""Whether a signature could matter to the caller. What could not is not verified, and its key is not looked up."""


class Outcome(StrEnum):
    """The result for all signatures of one mail: RFC 8601, section 2.7.1, and two that it has no word for."""

    PASS = "pass"  # noqa: S105  at least one verifies
    NONE = "none"  # no signature
    NOT_ALIGNED = "not-aligned"  # signed, but by nobody whom the caller's policy wants
    FAIL = "fail"  # none verifies, and none ever will: fail, policy or permerror
    TEMPERROR = "temperror"  # none verifies yet: DNS did not answer, try again later
    EARLY = "early"  # none verifies yet: it was signed in the future, so a clock is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A mail to verify, and when it was accepted: by us, or by the mailbox that it lay in."""

    message: bytes
    accepted_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one valid signature proves."""

    domain: str  # who signed (d=)
    fields: Mapping[bytes, tuple[bytes, ...]]  # as SignedHeader has them
    body: bytes  # in its canonical form: what canonicalization leaves out, anybody may have changed
    mail_only: bool = False  # its key signs mail, but no TLS reports (RFC 8460, section 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResult:
    """What is known about the signatures of a mail."""

    outcome: Outcome
    arrived_at: datetime  # as the signatures allow; see times.py
    proofs: tuple[Proof, ...] = ()  # of every signature that holds
    detail: str = ""  # in words: what is wrong with the signatures that do not verify

    @property
    def domains(self) -> tuple[str, ...]:
        """Every d= whose signature holds, once."""
        return _once(proof.domain for proof in self.proofs)


@dataclass(slots=True, kw_only=True)
class _Examined:
    """A mail taken apart, its signatures read; those that could hold wait for their keys."""

    arrived_at: datetime
    mail: Mail | None = None
    pending: list[Signature] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)  # domains whose signatures are not looked at
    early: bool = False  # a signature is of the future


class DkimVerifier:
    """Verifies mails by the rules of RFC 6376 and RFC 8460, section 3. Threads may share one."""

    def __init__(self, *, keys: KeyCache, patience: float = 0.5) -> None:
        """`patience`: seconds that a call waits for DNS, in all; what is late is a DNS_FAILURE for now."""
        self._keys = keys
        self._patience = patience

    def verify(
        self,
        message: bytes,
        *,
        accepted_at: datetime | None = None,
        now: datetime | None = None,
        policy: Policy = lambda _signature, _mail: True,
    ) -> DkimResult:
        """Verify one mail."""
        moment = now or datetime.now(UTC)
        arrived = Arrived(message=message, accepted_at=accepted_at or moment)
        return next(self.verify_all([arrived], policy=policy, now=moment))

    def verify_all(self, mails: Sequence[Arrived], *, policy: Policy, now: datetime) -> Iterator[DkimResult]:
        """Verify many mails; keys that are not cached are looked up together, before any is needed.

        Results come one at a time, since each holds the body of its mail.
        """
        examined = [_examined(mail, policy, now) for mail in mails]
        names = {each.key_name for one in examined for each in one.pending}
        keys = self._keys.look_up(names, patience=self._patience) if names else {}
        examined.reverse()
        while examined:
            yield _conclude(examined.pop(), keys, now)


def _examined(arrived: Arrived, policy: Policy, now: datetime) -> _Examined:
    try:
        return _examine(arrived, policy, now)
    except Exception as error:  # a fault of ours must cost one message, never those that are verified with it
        return _Examined(arrived_at=arrived.accepted_at, faults=[f"mailposture could not read it ({error!r:.100})"])


def _examine(arrived: Arrived, policy: Policy, now: datetime) -> _Examined:
    examined = _Examined(arrived_at=arrival(arrived.accepted_at, now=now))
    try:
        mail = examined.mail = canonical.read(arrived.message)
    except UnreadableError as error:
        examined.faults.append(f"{error}, so no signature of it can be trusted")
        return examined
    for spelling in mail.fields.get(b"dkim-signature", ())[:MOST_SIGNATURES]:
        try:
            read = signature.read(spelling)
        except BadSignatureError as error:
            examined.faults.append(_sentence(error.domain, error.reason))
            continue
        if not policy(read, mail):
            examined.unwanted.append(read.domain)
            continue
        match timeliness(read, arrived_at=examined.arrived_at, now=now):
            case Timeliness.IN_TIME:
                examined.pending.append(read)
            case Timeliness.EXPIRED:
                examined.faults.append(_sentence(read.domain, f"had expired when the mail came (x={read.expires})"))
            case Timeliness.EARLY:
                examined.early = True
                examined.faults.append(
                    _sentence(
                        read.domain, f"is of the future (t={read.signed_at}); is the clock of this machine right?"
                    )
                )
    return examined


def _conclude(examined: _Examined, keys: Mapping[str, KeyLookup], now: datetime) -> DkimResult:
    proofs: list[Proof] = []
    faults, unanswered, arrived_at = list(examined.faults), False, examined.arrived_at
    for each in examined.pending:
        key = keys[each.key_name]
        if isinstance(key, Unanswered):
            unanswered = True
            faults.append(_sentence(each.domain, f"cannot be checked now: {key.reason}"))
        elif isinstance(key, NoKey):
            faults.append(_sentence(each.domain, key.reason))
        elif examined.mail is not None:
            try:
                header = signature.verify(each, examined.mail, key)
            except BadSignatureError as error:
                faults.append(_sentence(error.domain, error.reason))
                continue
            proofs.append(proof_of(each, examined.mail, header, mail_only=key.mail_only))
            arrived_at = max(arrived_at, arrival_after(each, examined.arrived_at, now=now))
    return DkimResult(
        outcome=_outcome(examined, proofs=proofs, unanswered=unanswered),
        arrived_at=arrived_at,
        proofs=tuple(proofs),
        detail="; ".join(faults if proofs else [*faults, *_without_proof(examined)]),
    )


def _outcome(examined: _Examined, *, proofs: list[Proof], unanswered: bool) -> Outcome:
    if proofs:
        return Outcome.PASS
    if unanswered:
        return Outcome.TEMPERROR
    if examined.early:
        return Outcome.EARLY
    if examined.unwanted and not examined.pending:
        return Outcome.NOT_ALIGNED
    return Outcome.FAIL if examined.faults or examined.pending else Outcome.NONE


def _without_proof(examined: _Examined) -> Iterator[str]:
    """What else there is to say about a mail without proof."""
    if examined.unwanted:
        yield f"the mail is signed by {', '.join(_once(examined.unwanted))}"
    elif not examined.pending and not examined.faults:
        yield "the mail has no DKIM signature"


def proof_of(each: Signature, mail: Mail, header: signature.SignedHeader, *, mail_only: bool = False) -> Proof:
    """What a signature proves that holds."""
    body = mail.canonical_body(each.body_form)
    return Proof(domain=each.domain, fields=header.fields, body=body, mail_only=mail_only)


def _sentence(domain: str, reason: str) -> str:
    return f"DKIM signature of {domain} {reason}" if domain else f"a DKIM signature {reason}"


def _once(domains: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(domains))
