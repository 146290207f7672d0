"""The journey of a report, from the spool to ClickHouse.

Nothing leaves the spool before its rows are stored. Killed at any step, the batch is claimed and written again; rows
are keyed by the report, so they count once.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector import metrics
from collector.ingest.judge import Accepted, Deferred, Judge, Judgement, Quarantined, Rejected, fault_of
from collector.ingest.rejection_rows import RejectionRows
from collector.ingest.writer import RowsRefusedError
from collector.origin import origin_of
from collector.spool import HeldState, Origin, Spooled, SpoolQueue
from collector.spool.queue import LONGEST_WAIT
from mailposture.clickhouse.faults import reason
from reports.rejection import Fault, QuarantineReason, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from collector.heartbeat import Heartbeat
    from collector.ingest.suspects import Suspects
    from collector.ingest.writer import Writer

log = structlog.get_logger()

_BATCH_MESSAGES = 1_000  # fewer cost ClickHouse more a row, more cost memory here
_BATCH_BYTES = 8 * 1024 * 1024  # of messages, unless one alone has more
_HEAVY_BYTES = 24 * 1024 * 1024  # of a batch that is stored before the next is judged: usual ones take a tenth
_ROW_BYTES = 1024  # about what a row takes in memory, and once more on its way to ClickHouse
_BATCH_SECONDS = 2.0  # of judging: then what was judged is stored, and ingest shows that it lives
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0  # seconds between two tries while ClickHouse does not answer
_FIRST_DNS_WAIT = timedelta(seconds=5)  # by then a lookup that was only late has ended (authentication.dns_timeout)

_FATAL = Fault(
    Reason.INTERNAL,
    "reading it ended mailposture itself, several times; the bytes are kept: please report this with them",
)

Judged: TypeAlias = "list[tuple[Spooled, Judgement]]"


def is_heavy(judged: Judged) -> bool:
    """Whether a batch takes so much memory that no other should be there at the same time."""
    bodies = sum(len(message.body) for message, _ in judged)
    return bodies + bytes_of_rows(verdict for _, verdict in judged) > _HEAVY_BYTES


def bytes_of_rows(verdicts: Iterable[Judgement]) -> int:
    """About what the rows of accepted reports take in memory."""
    reports = [rows for verdict in verdicts if isinstance(verdict, Accepted) for rows in verdict.reports]
    rows = sum(1 + sum(map(len, each.parts)) for each in reports)
    return rows * _ROW_BYTES + sum(len(each.report.original) for each in reports)


def wait_for_dns(attempts: int) -> timedelta:
    """Until a message is judged again that was deferred so often before: twice as long each time, at most an hour."""
    return min(_FIRST_DNS_WAIT * (1 << min(attempts, 10)), LONGEST_WAIT)


class Pipeline:
    """Ingest: takes batches from the spool, judges them, stores them, and only then deletes them from the spool.

    take() and store() may run in two threads: one batch is judged while ClickHouse writes the one before.
    """

    def __init__(
        self,
        *,
        queue: SpoolQueue,
        judge: Judge,
        writer: Writer,
        heartbeat: Heartbeat,
        suspects: Suspects,
        stopping: Callable[[], bool],
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._queue = queue
        self._judge = judge
        self._writer = writer
        self._heartbeat = heartbeat
        self._suspects = suspects
        self._stopping = stopping
        self._pause = pause
        self._rejections = RejectionRows()
        self._claimed: list[Spooled] = []  # and not yet judged

    def judge_by(self, judge: Judge) -> None:
        """Judge what is taken from now on by another configuration; from the thread of take()."""
        self._judge = judge

    def take(self) -> Judged:
        """Claim the next batch and judge it, or what fits into memory and two seconds; empty when nothing waits."""
        batch = self._claimed or self._queue.claim(_BATCH_MESSAGES, _BATCH_BYTES)
        judged: Judged = []
        until = time.monotonic() + _BATCH_SECONDS
        while len(judged) < len(batch):
            one_by_one = self._suspects.are_there
            judged += self._judged(batch[len(judged) :][: 1 if one_by_one else None])
            if not one_by_one or is_heavy(judged) or time.monotonic() > until:
                break
        self._claimed = batch[len(judged) :]
        return judged

    def _judged(self, messages: list[Spooled]) -> Judged:
        """The first of these messages with what becomes of them."""
        with self._suspects.judging(messages) as worth_trying:
            if not worth_trying:
                return [(each, Rejected(_FATAL)) for each in messages]
            contents = [(each.envelope, each.body) for each in messages]
            verdicts = self._judge.judge(contents, now=datetime.now(UTC), seconds=_BATCH_SECONDS)
        return list(zip(messages, verdicts, strict=False))

    def store(self, judged: Judged) -> None:
        """Write what was judged, again and again until ClickHouse has it, then settle it with the spool."""
        wait = _FIRST_WAIT
        while not self._stopping():
            why = refused = ""
            try:
                self._write(judged)
            except RowsRefusedError as error:
                metrics.BATCHES.labels("refused").inc()
                refused = str(error)
            except (ClickHouseError, OSError) as error:
                metrics.BATCHES.labels("failed").inc()
                why = reason(error)
            else:
                metrics.BATCHES.labels("stored").inc()
                self._heartbeat.database(answers=True)
                self._settle(judged)
                return
            if refused:  # no longer inside the handler: the exception holds the rows that were being written
                self._divide(judged, refused)
                return
            self._heartbeat.database(answers=False)
            log.warning(
                "ClickHouse did not accept a batch; trying again", wait_seconds=wait, messages=len(judged), reason=why
            )
            self._pause(wait)
            wait = min(wait * 2, _LONGEST_WAIT)

    def _write(self, judged: Judged) -> None:
        rows = [rows for _, verdict in judged if isinstance(verdict, Accepted) for rows in verdict.reports]
        faults = [(each, fault_of(verdict)) for each, verdict in judged]
        rejected = [self._rejections.of(each, fault) for each, fault in faults if fault is not None]
        if rows:
            self._writer.write(rows)
        if rejected:
            self._writer.reject({row.held_id: row for row in rejected}.values())

    def _divide(self, judged: Judged, why: str) -> None:
        """ClickHouse rejects something in a batch: find the message, and store the others."""
        if len(judged) > 1:
            middle = len(judged) // 2
            self.store(judged[:middle])
            self.store(judged[middle:])
            return
        ((message, verdict),) = judged
        if isinstance(verdict, Rejected):  # even its rejection cannot be stored: keep the bytes at least
            self._hold_rejected(message, verdict.fault, _origin(message, verdict.signers))
            return
        log.error("ClickHouse rejects the rows of a message", name=message.envelope.name, reason=why)
        fault = Fault(Reason.INTERNAL, "ClickHouse rejects its rows; the bytes are kept, the log has the reason")
        self.store([(message, Rejected(fault))])

    def _settle(self, judged: Judged) -> None:
        """After storing: delete, hold or defer."""
        now = datetime.now(UTC)
        self._rejections.settled(message.id for message, _ in judged)
        stored: list[int] = []
        counted: Counter[tuple[str, str]] = Counter()
        for message, verdict in judged:
            match verdict:
                case Accepted(reports, lost):
                    if not lost:
                        stored.append(message.id)
                    else:  # the reports are safe, what could not be read beside them is not
                        signers = tuple(filter(None, (rows.report.dkim_domain for rows in reports)))
                        beside = Fault(lost[0].reason, f"beside a report: {lost[0].detail}")
                        self._hold_rejected(message, beside, _origin(message, signers))
                    counted.update((rows.kind, rows.report.trust) for rows in reports)
                    metrics.QUERYABLE.observe((now - message.envelope.received_at).total_seconds())
                case Quarantined(kind, reason, detail, signers):
                    self._quarantine(message, kind, reason, detail, _origin(message, signers))
                case Rejected(fault, signers):
                    self._hold_rejected(message, fault, _origin(message, signers))
                case Deferred(detail, signers):
                    self._defer(message, now, detail, signers)
        for (kind, trust), number in counted.items():
            metrics.STORED.labels(kind, trust).inc(number)
        self._queue.forget(stored)
        if stored:
            log.info("stored a batch", messages=len(judged), reports=len(stored))

    def _defer(self, message: Spooled, now: datetime, why: str, signers: tuple[str, ...]) -> None:
        """Try again later; what there is no room for, while it waits, goes to quarantine."""
        metrics.DEFERRED.labels("dns").inc()
        until = now + wait_for_dns(message.attempts)
        for displaced in self._queue.defer(message, until=until, reason=why, origin=_origin(message, signers)):
            other = message if displaced.id == message.id else self._queue.read(displaced.id)
            detail = f"{displaced.reason}; deferred mail has used up its room (spool.deferred_size)"
            self._quarantine(other, "unknown", QuarantineReason.NO_ROOM, detail, displaced.origin)

    def _quarantine(self, message: Spooled, kind: str, reason: QuarantineReason, detail: str, origin: Origin) -> None:
        metrics.QUARANTINED.labels(kind, reason.value).inc()
        self._hold(message, HeldState.QUARANTINED, reason.value, detail, origin)

    def _hold_rejected(self, message: Spooled, fault: Fault, origin: Origin) -> None:
        metrics.REJECTED.labels(fault.reason.value).inc()
        self._hold(message, HeldState.REJECTED, fault.reason.value, fault.detail, origin)

    def _hold(self, message: Spooled, state: HeldState, reason: str, detail: str, origin: Origin) -> None:
        held = self._queue.hold(message, state=state, reason=reason, detail=detail, origin=origin)
        metrics.PRUNED.labels(state.value, "budget").inc(held.pruned)
        log.warning(
            "held" if held.kept else "not held: its sender already uses most of spool.held_size",
            held_id=held.id,
            state=state.value,
            reason=reason,
            detail=detail,
            name=message.envelope.name,
            origin=f"{origin.client} {origin.claim}".strip(),
            pruned=held.pruned,
        )


def _origin(message: Spooled, signers: tuple[str, ...]) -> Origin:
    return origin_of(message.envelope, message.body, signers=signers)
