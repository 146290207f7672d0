"""The verdict on one message: accepted, quarantined, rejected or deferred.

One straight line: what signatures prove of it is read, each report in it is attributed to domains of ours, trusted or
not, and only then made into rows. Bytes and envelope in, verdict out; nothing is stored here. Ingest judges what the
spool holds, `mailposture import` what lies in files.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

import structlog

from collector.alignment import aligned_with_author, is_by
from collector.authserv import server_says
from collector.dkim.verifier import Arrived
from collector.documents.message import open_message, open_proven
from collector.documents.signed_mail import UnclearError
from collector.ingest.arrival import arrival_of
from collector.trust import Decision, Verdict, decide_trust, needs_dkim, proof_of
from mailposture.ownership import Ownership
from reports.kind import Provenance
from reports.kinds import BY_NAME
from reports.limits import NAME_LENGTH
from reports.reading import read_reports
from reports.rejection import Fault, QuarantineReason, Reason, RejectedError
from reports.rows import with_warnings
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from collector.authserv import ServerVerdict
    from collector.dkim.verifier import DkimResult, DkimVerifier
    from collector.spf import SpfVerdict, SpfVerifier
    from mailposture.config.model import Config
    from reports.document import Opened
    from reports.envelope import Envelope
    from reports.kind import Attribution, Report
    from reports.reading import Read
    from reports.rows import Rows

log = structlog.get_logger()

_ENTRY_BYTES = 2048  # about what a policy or failure detail takes in memory, until its rows are stored
_MOST_BYTES = 32 * 1024 * 1024  # of rows in memory together; usual batches take a tenth
_TOGETHER = 50  # mails whose signatures are verified before the first of them is read
_SPF_PATIENCE = 0.5  # seconds that a call waits for SPF, in all; what is late is judged again
_CLOCK_SKEW = timedelta(days=2)  # that the clocks of senders may be ahead


@dataclass(frozen=True, slots=True)
class Accepted:
    """Reports to store."""

    reports: tuple[Rows, ...]
    lost: tuple[Fault, ...] = ()  # of what could not be read beside them: its bytes are worth keeping
    foreign: tuple[Fault, ...] = ()  # of reports beside them that are not about us


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Unauthenticated reports."""

    kind: str  # of the first of them
    reason: QuarantineReason
    detail: str
    signers: tuple[str, ...] = ()  # domains whose signatures hold, though they prove no report


@dataclass(frozen=True, slots=True)
class Rejected:
    """No usable report."""

    fault: Fault
    signers: tuple[str, ...] = ()
    beside: tuple[Fault, ...] = ()  # of other documents in the same message


@dataclass(frozen=True, slots=True)
class Deferred:
    """To be judged again later: DNS did not answer, or a clock is wrong, which is not the report's fault."""

    detail: str
    signers: tuple[str, ...] = ()


Judgement = Accepted | Quarantined | Rejected | Deferred


def fault_of(judgement: Judgement) -> Fault | None:
    """Why a message is to be kept: something in it could not be used."""
    match judgement:
        case Rejected(fault):
            return fault
        case Accepted(_, (fault, *_)):
            return fault
    return None


def faults_of(judgement: Judgement) -> tuple[Fault, ...]:
    """Of each document in a message that was not stored."""
    match judgement:
        case Rejected(fault, _, beside):
            return (fault, *beside)
        case Accepted(_, lost, foreign):
            return (*lost, *foreign)
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A message that was read, with what is known about it as a whole."""

    envelope: Envelope
    opened: Opened
    dkim: DkimResult | None
    spf: SpfVerdict | None
    server: ServerVerdict | None  # what the server of its mailbox says
    author_accepted: bool  # whether the configuration accepts its author without proof
    unclear: str  # why what they prove of it could not be read, so that it was read generously; or empty
    arrived_at: datetime


class Judge:
    """Judges messages by the rules of one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        verifier: DkimVerifier,
        spf: SpfVerifier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`spf`: asked about mail that comes to our listener without an aligned signature, where that is the MX."""
        self._verifier = verifier
        self._spf = spf
        self._clock = clock
        self._ownership = Ownership(config)
        self._rules = config.authentication
        self._retention = config.clickhouse.retention

    def judge(
        self, messages: Sequence[tuple[Envelope, bytes]], *, now: datetime, seconds: float = inf
    ) -> list[Judgement]:
        """Judge the first of these messages, in order: at least one, and as many as fit into memory and `seconds`.

        Keys of DKIM signers are looked up for all of them together.
        """
        judgements: list[Judgement] = []
        taken, until = 0, self._clock() + seconds
        for (envelope, body), (dkim, spf) in zip(messages, self._proven(messages, now), strict=True):
            judgements.append(judgement := self._judge_safely(envelope, body, dkim, spf, now))
            taken += _size(judgement)
            if taken > _MOST_BYTES or self._clock() > until:
                break
        return judgements

    def _proven(
        self, messages: Sequence[tuple[Envelope, bytes]], now: datetime
    ) -> Iterator[tuple[DkimResult | None, SpfVerdict | None]]:
        """What signatures prove of each message, and what SPF says where they prove nothing.

        Some are fetched at a time: alternating two tasks evicts their code from the CPU cache, which saves a fifth of
        the time of judging.
        """
        results = self._verified(messages, now)
        patience_until = time.monotonic() + _SPF_PATIENCE
        first = 0
        while group := list(islice(results, _TOGETHER)):
            together = messages[first : first + len(group)]
            yield from zip(group, self._spf_of(together, group, patience_until), strict=True)
            first += len(group)

    def _spf_of(
        self, messages: Sequence[tuple[Envelope, bytes]], results: Sequence[DkimResult | None], until: float
    ) -> list[SpfVerdict | None]:
        if self._spf is None:
            return [None] * len(messages)
        without = [
            number
            for number, ((envelope, _), dkim) in enumerate(zip(messages, results, strict=True))
            if dkim is not None and not dkim.proofs and envelope.source.shows_sender
        ]
        asked = self._spf.check_all([messages[number] for number in without], patience=until - time.monotonic())
        verdicts = dict(zip(without, asked, strict=True))
        return [verdicts.get(number) for number in range(len(messages))]

    def _verified(self, messages: Sequence[tuple[Envelope, bytes]], now: datetime) -> Iterator[DkimResult | None]:
        """What signatures prove of each message, one at a time; None where they do not matter."""
        mails = [
            Arrived(message=body, accepted_at=envelope.accepted_at)
            for envelope, body in messages
            if needs_dkim(envelope)
        ]
        results = self._verifier.verify_all(mails, policy=aligned_with_author, now=now)
        return (next(results) if needs_dkim(envelope) else None for envelope, _ in messages)

    def _judge_safely(
        self, envelope: Envelope, body: bytes, dkim: DkimResult | None, spf: SpfVerdict | None, now: datetime
    ) -> Judgement:
        try:
            return self._judge_reports(self._read(envelope, body, dkim, spf, now), now)
        except RejectedError as error:
            fault = _for_postmaster(envelope) if envelope.is_for_postmaster else error.fault
            return Rejected(fault, dkim.domains if dkim else (), error.beside)
        except Exception as error:  # whatever untrusted senders wrote must not stop the others
            return Rejected(_our_fault(error))

    def _read(
        self, envelope: Envelope, body: bytes, dkim: DkimResult | None, spf: SpfVerdict | None, now: datetime
    ) -> _Message:
        """Read a message: what is proven of it and nothing else, or all of it, where nothing is.

        Raises RejectedError.
        """
        server = server_says(envelope, body, dkim)
        rebuilt = server.proof if server else None
        proof, unclear, opened = (proof_of(dkim) if dkim else None) or rebuilt or (spf.proof if spf else None), "", None
        if proof is not None:
            try:
                opened = open_proven(proof)
                if proof is rebuilt:  # the server may have touched the header
                    opened = replace(opened, fields={})
            except UnclearError as error:
                unclear = error.detail
        if opened is None:
            opened = open_message(body, as_mail=envelope.source.is_mail)
        accepted = self._rules.accepted_authors
        return _Message(
            envelope=envelope,
            opened=opened,
            dkim=dkim,
            spf=spf,
            server=server,
            author_accepted=bool(accepted) and dkim is not None and proof is None and is_by(accepted, body),
            unclear=unclear,
            arrived_at=dkim.arrived_at if dkim else arrival_of(envelope, opened, now=now),
        )

    def _judge_reports(self, message: _Message, now: datetime) -> Judgement:
        """Reports about other domains are left out beside one about ours; the rest share one verdict."""
        reports, unread = read_reports(message.opened)
        unread = (*message.opened.faults, *unread)
        ours: defaultdict[str, list[tuple[Report, Attribution]]] = defaultdict(list)
        foreign: list[Fault] = []
        decision = Decision(verdict=Verdict.QUARANTINED)  # about the message, so the same for all reports in it
        for read in reports:
            try:
                judged = self._judge_report(message, read, now)
            except RejectedError as error:
                foreign.append(error.fault)
                continue
            if isinstance(judged, Quarantined | Deferred):
                return judged
            about_us, decision = judged
            ours[read.kind.name].append((read.report, about_us))
        if not ours:
            return Rejected(foreign[0], _signers(message), (*foreign[1:], *unread))
        provenance = Provenance(
            opened=message.opened,
            envelope=message.envelope,
            arrived_at=message.arrived_at,
            trust=decision.trust,
            signer=decision.dkim_domain,
            spf_domain=decision.spf_domain,
        )
        beside = tuple(f"beside this report: {fault.detail}" for fault in (*unread, *foreign))
        rows = (rows for name, some in ours.items() for rows in BY_NAME[name].rows(some, provenance))
        return Accepted(tuple(with_warnings(each, beside) for each in rows), lost=unread, foreign=tuple(foreign))

    def _judge_report(
        self, message: _Message, read: Read, now: datetime
    ) -> tuple[Attribution, Decision] | Quarantined | Deferred:
        """Attribute, then trust: what is ours of a report, and why it is trusted.

        Raises RejectedError for what is not about us, or not about a day that we keep."""
        kind, report = read
        ours = kind.attribute(report, message.opened, message.envelope, self._ownership)
        decision = decide_trust(
            message.envelope,
            dkim=message.dkim,
            spf=message.spf,
            server=message.server,
            author_accepted=message.author_accepted,
            posted=kind.posted,
            key_service=kind.key_service,
            unclear=message.unclear,
            claim=kind.claims(report, message.opened),
            policy_domains=ours.domains,
            rules=self._rules,
            now=now,
        )
        if decision.verdict is Verdict.DEFERRED:
            return Deferred(decision.detail, _signers(message))
        if decision.verdict is Verdict.QUARANTINED and decision.reason is not None:
            return Quarantined(kind.name, decision.reason, decision.detail, _signers(message))
        if report.day > (now + _CLOCK_SKEW).date():
            return self._yet_to_come(message, report, now)
        if report.day < now.date() - self._retention:
            raise RejectedError(
                Reason.TOO_OLD,
                f"about {report.day}, and clickhouse.retention keeps {self._retention.days} days; "
                "raise it, then import the report again",
            )
        return ours, decision

    def _yet_to_come(self, message: _Message, report: Report, now: datetime) -> Deferred:
        """A report about the future is wrong, or our clock is: it is deferred as for DNS, but not in a file."""
        detail = f"about {report.day}, which is in the future; is the clock of this machine right?"
        if message.envelope.source.is_file or now - message.arrived_at >= self._rules.dns_give_up:
            raise RejectedError(Reason.INVALID_FIELD, detail)
        return Deferred(detail, _signers(message))


def _signers(message: _Message) -> tuple[str, ...]:
    return message.dkim.domains if message.dkim else ()


def _size(judgement: Judgement) -> int:
    """Approximate bytes of memory that it takes until it is stored."""
    if not isinstance(judgement, Accepted):
        return 0
    entries = sum(len(part) for rows in judgement.reports for part in rows.parts)
    return sum(2 * len(rows.report.original) for rows in judgement.reports) + _ENTRY_BYTES * entries


def _for_postmaster(envelope: Envelope) -> Fault:
    to = ", ".join(envelope.recipients)
    return Fault(Reason.POSTMASTER, f"mail to {clean(to, NAME_LENGTH)}, for a person to read: it holds no report")


def _our_fault(error: Exception) -> Fault:
    log.exception("a message could not be judged; please report this with its bytes", error=repr(error))
    return Fault(Reason.INTERNAL, f"mailposture could not read it ({type(error).__name__}); the bytes are kept")
