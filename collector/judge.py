"""What becomes of one message: rows, a place in quarantine, a rejection, or another try later.

Bytes and envelope in, verdict out; nothing is stored here. Ingest judges what the spool holds,
`mailposture import` what lies in files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import structlog

from collector.authenticate import Decision, Outcome, Verdict, decide_trust, needs_dkim
from collector.decode.message import open_message
from collector.decode.tls_report import read_reports
from collector.envelope import Source, Trust
from collector.rejection import Fault, Reason, RejectedError, UnprovenReason
from collector.rows import rows_of
from mailposture.ownership import Ownership

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from collector.decode.message import Opened
    from collector.decode.tls_report import TlsReport
    from collector.dkim.verifier import DkimResult, DkimVerifier
    from collector.envelope import Envelope
    from collector.rows import Rows
    from mailposture.config import Config

log = structlog.get_logger()

_ENTRY_BYTES = 2048  # about what a policy or failure detail takes in memory, until its rows are stored
_MOST_BYTES = 128 * 1024 * 1024  # of opened messages in memory together; usual batches take a tenth

_Contents: TypeAlias = "tuple[Opened, tuple[TlsReport, ...]] | Fault"


@dataclass(frozen=True, slots=True)
class Believed:
    """Reports that count."""

    reports: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class Unproven:
    """Unauthenticated reports."""

    reason: UnprovenReason
    detail: str
    signers: tuple[str, ...] = ()  # domains whose signatures hold, though they prove no report


@dataclass(frozen=True, slots=True)
class Unusable:
    """No report that we could use."""

    fault: Fault
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotYet:
    """DNS did not answer; that is not the report's fault."""

    detail: str


Judgement = Believed | Unproven | Unusable | NotYet


class Judge:
    """Decodes and authenticates messages by the rules of one configuration."""

    def __init__(self, config: Config, *, verifier: DkimVerifier) -> None:
        self._verifier = verifier
        self._ownership = Ownership(config)
        self._rules = config.authentication
        self._retention = config.clickhouse.retention

    def judge(self, messages: Sequence[tuple[Envelope, bytes]], *, now: datetime) -> list[Judgement]:
        """Judge the first of these messages, in order: at least one, and as many as fit into memory once opened.

        Keys of DKIM signers are looked up for all of them together.
        """
        opened = _open_together((body for _, body in messages), now)
        messages = messages[: len(opened)]
        mails = [
            number
            for number, (envelope, _) in enumerate(messages)
            if needs_dkim(envelope) and not isinstance(opened[number], Fault)
        ]
        found = self._verifier.verify_all([messages[number][1] for number in mails], now=now)
        signatures = dict(zip(mails, found, strict=True))
        return [
            self._conclude(envelope, opened[number], signatures.get(number), now)
            for number, (envelope, _) in enumerate(messages)
        ]

    def _conclude(
        self,
        envelope: Envelope,
        contents: _Contents,
        dkim: DkimResult | None,
        now: datetime,
    ) -> Judgement:
        if isinstance(contents, Fault):
            return Unusable(contents)
        opened, reports = contents
        try:
            return self._weigh(envelope, opened, reports, dkim, now)
        except RejectedError as error:
            return Unusable(error.fault, dkim.domains if dkim else ())
        except Exception as error:  # whatever strangers wrote must not stop the others
            return Unusable(_our_fault(error))

    def _weigh(
        self,
        envelope: Envelope,
        opened: Opened,
        reports: tuple[TlsReport, ...],
        dkim: DkimResult | None,
        now: datetime,
    ) -> Judgement:
        """Reports that are about others are left out beside one that is about us; what remains is believed, or none."""
        believed: list[Rows] = []
        faults: list[Fault] = []
        for report in reports:
            try:
                decision, rows = self._decide(envelope, opened, report, dkim, now)
            except RejectedError as error:
                faults.append(error.fault)
                continue
            if decision.verdict is Verdict.RETRY:
                return NotYet(decision.reason)
            if decision.verdict is Verdict.QUARANTINE:
                return Unproven(_bounded(dkim), decision.reason, dkim.domains if dkim else ())
            believed.append(rows)
        if not believed:
            return Unusable(faults[0], dkim.domains if dkim else ())
        beside = tuple(f"beside this report: {fault.detail}" for fault in faults)
        return Believed(tuple(_with_warnings(rows, beside) for rows in believed))

    def _decide(
        self, envelope: Envelope, opened: Opened, report: TlsReport, dkim: DkimResult | None, now: datetime
    ) -> tuple[Decision, Rows]:
        """Whether to believe a report, and its rows; raises RejectedError for what is not about us, believed or not."""

        def rows(trust: Trust, dkim_domain: str) -> Rows:
            return rows_of(
                report,
                opened=opened,
                envelope=envelope,
                trust=trust,
                dkim_domain=dkim_domain,
                ownership=self._ownership,
            )

        # Only a secret path depends on what the report is about.
        about = rows(Trust.NONE, "").report.policy_domains if envelope.source is Source.HTTPS else ()
        decision = decide_trust(
            envelope,
            organization=report.organization,
            contact=report.contact,
            submitter=opened.submitter,
            policy_domains=about,
            dkim=dkim,
            rules=self._rules,
            now=now,
        )
        if report.start.date() < now.date() - self._retention:
            raise RejectedError(
                Reason.TOO_OLD,
                f"about {report.start.date()}, and clickhouse.retention keeps {self._retention.days} days; "
                "raise it, then import the report again",
            )
        return decision, rows(decision.trust, decision.dkim_domain)


def _with_warnings(rows: Rows, warnings: tuple[str, ...]) -> Rows:
    if not warnings:
        return rows
    return rows._replace(report=rows.report._replace(warnings=rows.report.warnings + warnings))


def _open_together(bodies: Iterable[bytes], now: datetime) -> list[_Contents]:
    """Open messages until what is in them fills the memory that is theirs: few bytes may unpack to very many."""
    opened: list[_Contents] = []
    taken = 0
    for body in bodies:
        opened.append(contents := _open(body, now))
        if not isinstance(contents, Fault):
            taken += sum(2 * len(report.original) + _ENTRY_BYTES * report.entries for report in contents[1])
        if taken > _MOST_BYTES:
            break
    return opened


def _open(body: bytes, now: datetime) -> _Contents:
    try:
        opened = open_message(body)
        return opened, read_reports(opened, now=now)
    except RejectedError as error:
        return error.fault
    except Exception as error:  # a fault of ours must cost one message, never the queue
        return _our_fault(error)


def _our_fault(error: Exception) -> Fault:
    log.exception("a message could not be judged: please report this with its bytes", error=repr(error))
    return Fault(Reason.INTERNAL, f"mailposture could not read it ({type(error).__name__}); the bytes are kept")


def _bounded(dkim: DkimResult | None) -> UnprovenReason:
    if dkim is None:
        return UnprovenReason.NO_TOKEN
    if dkim.outcome is Outcome.VALID:
        return UnprovenReason.NOT_ALIGNED
    return UnprovenReason(dkim.outcome.value)
