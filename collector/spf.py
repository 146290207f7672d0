"""Mail without an aligned signature: whether SPF proves who sent it (RFC 7208; RFC 7489, section 3.1.2).

Only where our listener is the MX: the client is then the server that the sender's domain let send. SPF proves the
domain of MAIL FROM, for this one connection and all that came over it, and counts if it is of the organization of the
author (relaxed alignment, as for signatures). A null sender proves nothing, nor does the name that a client greets
with; nor does a record that lets everybody send. What came by a service that many share is proven no better than that
service keeps its customers from using each other's names.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from collector.alignment import author_domains, same_organization
from collector.dkim import canonical
from collector.dkim.canonical import UnreadableError
from collector.dkim.fair_map import FairMap
from collector.dkim.verifier import Proof
from mailposture.checks.resolver import Resolver
from mailposture.checks.spf import asking
from mailposture.domain_names import normalize
from mailposture.loop_thread import LoopThread
from mailposture.net.client_networks import client_network
from mailposture.net.proxies import plain_address
from mailposture.problems import ProblemError
from mailposture.spf import SpfOutcome, SpfResult, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from collector.dkim.canonical import Mail
    from mailposture.spf import Ask
    from reports.envelope import Envelope

_NOBODY: Final = {4: "192.0.2.1", 6: "2001:db8::1"}  # nobody sends from there (RFC 5737, RFC 3849)
# What has such an address came through a proxy or a NAT, and SPF records that list them are many.
_PRIVATE: Final = tuple(
    ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)
_LONGEST: Final = 20.0  # seconds for one evaluation (RFC 7208, section 4.6.4)
_READ: Final = (b"content-type", b"content-transfer-encoding", b"content-disposition")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfVerdict:
    """What SPF says about a mail."""

    outcome: SpfOutcome
    proof: Proof | None = None  # if it passed: everything that the mail is
    detail: str = ""  # in words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """Whether a client may send as a sender, whose domain is normalized and aligned with the author."""

    client: str
    sender: str
    domain: str
    mail: Mail

    @property
    def name(self) -> str:
        return f"{self.client} {self.sender}"

    @property
    def network(self) -> str:
        return client_network(self.client, prefix=48)


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer, and the clock's time until which it holds."""

    answer: SpfResult
    expires: float


@dataclass(frozen=True, slots=True)
class _UnderWay:
    name: str
    future: Future[SpfResult]


class SpfVerifier:
    """Asks for many mails at once, in a thread of its own, and keeps the answers for a while, within bounds.

    Anybody can send mail in the name of domains whose name servers are silent, or in many names of a domain that is
    not his: only so many evaluations are under way, for one client a few, and the oldest gives way. They go on behind
    those that are not answered yet. Use close() at the end.
    """

    KEPT, KEPT_WITHOUT_ANSWER = 300.0, 30.0  # seconds
    CAPACITY, CAPACITY_OF_ONE = 10_000, 50  # answers, in all and for one client
    IN_FLIGHT, IN_FLIGHT_OF_ONE = 100, 5  # evaluations at the same time; each asks one question after the other

    def __init__(
        self,
        *,
        nameservers: Sequence[str] = (),
        timeout: timedelta = timedelta(seconds=5),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nameservers = nameservers
        self._timeout = timeout.total_seconds()
        self._clock = clock
        self._known = FairMap[_Known](capacity=self.CAPACITY, share=self.CAPACITY_OF_ONE)
        self._under_way = FairMap[_UnderWay](capacity=self.IN_FLIGHT, share=self.IN_FLIGHT_OF_ONE)
        self._lock = threading.Lock()
        self._loop = LoopThread("spf")

    def check_all(self, mails: Sequence[tuple[Envelope, bytes]], *, patience: float) -> list[SpfVerdict]:
        """The verdict for each mail; what DNS has not answered within `patience` seconds in all is a TEMPERROR."""
        asked = [_question_of(envelope, body) for envelope, body in mails]
        answers = self._answers([one for one in asked if isinstance(one, _Question)], patience)
        return [_verdict(one, answers[one.name]) if isinstance(one, _Question) else one for one in asked]

    def _answers(self, questions: Sequence[_Question], patience: float) -> dict[str, SpfResult]:
        found: dict[str, SpfResult] = {}
        waited_for: dict[str, Future[SpfResult]] = {}
        admitted: Counter[str] = Counter()
        with self._lock:
            now = self._clock()
            for question in questions:
                name, network = question.name, question.network
                known, under_way = self._known.get(name), self._under_way.get(name)
                if known is not None and known.expires > now:
                    found[name] = known.answer
                elif under_way is not None:
                    waited_for[name] = under_way.future
                elif admitted.total() < self.IN_FLIGHT and admitted[network] < self.IN_FLIGHT_OF_ONE:
                    admitted[network] += 1
                    waited_for[name] = self._start(question)
                else:
                    found[name] = _not_yet("too many evaluations of SPF at once")
        wait(waited_for.values(), timeout=max(patience, 0.0))
        for name, future in waited_for.items():
            answered = future.done() and not future.cancelled()
            found[name] = future.result() if answered else _not_yet("DNS has not yet answered")
        return found

    def _start(self, question: _Question) -> Future[SpfResult]:
        future = self._loop.submit(self._evaluate(question))
        under_way = _UnderWay(question.name, future)
        for oldest in self._under_way.put(question.name, question.network, under_way):
            oldest.future.cancel()
        return future

    async def _evaluate(self, question: _Question) -> SpfResult:
        try:
            answer = await self._answer(question)
        except Exception as error:  # whatever it is must not stop other mail
            answer = _not_yet(f"SPF cannot be evaluated now ({error!r:.100})")
        with self._lock:
            self._under_way.pop(question.name)
            kept = self.KEPT_WITHOUT_ANSWER if answer.outcome is SpfOutcome.TEMPERROR else self.KEPT
            self._known.put(question.name, question.network, _Known(answer, self._clock() + kept))
        return answer

    async def _answer(self, question: _Question) -> SpfResult:
        try:
            ask = _remembering(asking(Resolver(nameservers=self._nameservers, timeout=self._timeout)))
        except ProblemError as error:
            return _not_yet(str(error))
        found = await evaluate(client=question.client, sender=question.sender, ask=ask, seconds=_LONGEST)
        if found.outcome is not SpfOutcome.PASS:
            return found
        nobody = _NOBODY[ip_address(question.client).version]
        control = await evaluate(client=nobody, sender=question.sender, ask=ask, seconds=_LONGEST)
        if control.outcome is SpfOutcome.PASS:
            return SpfResult(outcome=SpfOutcome.NEUTRAL, detail="its record lets everybody send")
        return control if control.outcome is SpfOutcome.TEMPERROR else found

    def close(self) -> None:
        """Stop; what is under way stays unanswered."""
        self._loop.close()


def _question_of(envelope: Envelope, message: bytes) -> _Question | SpfVerdict:
    """What to ask about a mail; the verdict where SPF can say nothing about its author."""
    client = plain_address(envelope.peer)
    if client is None:
        return _nothing("the client's address is not known")
    if any(ip_address(client) in network for network in _PRIVATE):
        return _nothing(f"the client's address {client} is private, so it is not the sender's own server")
    domain = normalize(envelope.mail_from.rpartition("@")[2]) if "@" in envelope.mail_from else None
    if domain is None:
        return _nothing("there is no MAIL FROM that SPF could speak of")
    try:
        mail = canonical.read(message)
    except UnreadableError as error:
        return _nothing(str(error))
    authors = author_domains(mail.values(b"from"))
    if not authors or not all(same_organization(domain, author) for author in authors):
        return _nothing(f"MAIL FROM is of {domain}, which is not the organization of the author")
    sender = f"{envelope.mail_from.rpartition('@')[0]}@{domain}"
    return _Question(client=client, sender=sender, domain=domain, mail=mail)


def _verdict(question: _Question, answer: SpfResult) -> SpfVerdict:
    if answer.outcome is SpfOutcome.PASS:
        return SpfVerdict(outcome=answer.outcome, proof=_proof_of(question.domain, question.mail))
    why = f" ({answer.detail})" if answer.detail else ""
    detail = f"SPF of {question.domain} for {question.client}: {answer.outcome}{why}"
    return SpfVerdict(outcome=answer.outcome, detail=detail)


def _proof_of(domain: str, mail: Mail) -> Proof:
    """All of the mail: the sender's server gave it to us, so what it lacks is lacking on purpose."""
    fields: dict[bytes, tuple[bytes, ...]] = dict.fromkeys(_READ, ())
    for name in mail.fields:
        fields[name] = tuple(b" ".join(value.split()) for value in reversed(mail.values(name)))
    return Proof(domain=domain, fields=fields, body=mail.canonical_body(b"simple"))


def _remembering(ask: Ask) -> Ask:
    """The same questions cost one: a record is followed for the client, then for nobody."""
    answers: dict[tuple[str, str], Sequence[str]] = {}

    async def asked(name: str, record_type: str) -> Sequence[str]:
        key = (name.lower(), record_type)
        if key not in answers:
            answers[key] = await ask(name, record_type)
        return answers[key]

    return asked


def _nothing(detail: str) -> SpfVerdict:
    return SpfVerdict(outcome=SpfOutcome.NONE, detail=detail)


def _not_yet(detail: str) -> SpfResult:
    return SpfResult(outcome=SpfOutcome.TEMPERROR, detail=detail)
