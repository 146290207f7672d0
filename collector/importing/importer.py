"""Reports out of files, straight to ClickHouse: the files stay where they are, so no spool is needed in between."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from collector.ingest.judge import Accepted, Judge, Rejected, faults_of
from collector.ingest.pipeline import bytes_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from collector.importing.files import Found
    from collector.importing.rejected import RejectedFiles
    from collector.ingest.judge import Judgement
    from collector.ingest.writer import Writer
    from reports.rejection import Fault, Reason

_MOST_SHOWN = 20
_BATCH_MESSAGES = 2_000
_BATCH_BYTES = 16 * 1024 * 1024
_HEAVY_BYTES = 32 * 1024 * 1024  # of rows that are stored before others are judged: usual batches take half


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedFile:
    """A file, or a member of an archive, that was of no use."""

    name: str
    reason: Reason
    detail: str


@dataclass(slots=True, kw_only=True)
class Account:
    """What became of the files."""

    reports: int = 0
    duplicates: int = 0
    passed_over: int = 0  # files that systems and mail programs keep for themselves
    rejected: Counter[Reason] = field(default_factory=Counter)
    first_rejected: list[RejectedFile] = field(default_factory=list)  # a few of them, to show

    def count(self, judged: Iterable[tuple[Found, Judgement]]) -> None:
        """Count what became of some messages."""
        for each, verdict in judged:
            if isinstance(verdict, Accepted):
                self.reports += len(verdict.reports)
            for fault in faults_of(verdict):
                self.rejected[fault.reason] += 1
                if len(self.first_rejected) < _MOST_SHOWN:
                    file = RejectedFile(name=each.envelope.name, reason=fault.reason, detail=fault.detail)
                    self.first_rejected.append(file)

    def count_duplicates(self, number: int) -> None:
        """Of the reports that were counted, so many were copies of others."""
        self.reports -= number
        self.duplicates += number


class Importer:
    """Judges what lies in files, batch by batch, and stores it."""

    def __init__(self, *, judge: Judge, writer: Writer, rejected: RejectedFiles) -> None:
        self._judge = judge
        self._writer = writer
        self._rejected = rejected

    def run(self, found: Iterable[Found], *, on_each: Callable[[], None]) -> Account:
        """Store all that is found, each batch while the next is judged; `on_each` is called once for each.

        Raises what ClickHouse raises, and SpoolError: run it again then.
        """
        account = Account()
        under_way: Future[int] | None = None
        with ThreadPoolExecutor(1, "storing") as storing:
            for judged in self._judged(self._meant(found, account)):
                if under_way is not None:
                    account.count_duplicates(under_way.result())
                under_way = storing.submit(self._store, judged)
                if bytes_of_rows(verdict for _, verdict in judged) > _HEAVY_BYTES:
                    under_way.result()
                account.count(judged)
                for _ in judged:
                    on_each()
                del judged  # as nothing else holds it while the next is judged
            if under_way is not None:
                account.count_duplicates(under_way.result())
        return account

    def _meant(self, found: Iterable[Found], account: Account) -> Iterator[Found]:
        """All but what is passed over, which is counted."""
        for each in found:
            account.passed_over += each.passed_over
            if not each.passed_over:
                yield each

    def _judged(self, found: Iterable[Found]) -> Iterator[list[tuple[Found, Judgement]]]:
        for batch in _batches(found):
            judged: list[tuple[Found, Judgement]] = [(each, Rejected(each.fault)) for each in batch if each.fault]
            readable = [each for each in batch if each.fault is None]
            while readable:
                verdicts = self._judge.judge([(each.envelope, each.body) for each in readable], now=datetime.now(UTC))
                judged += zip(readable, verdicts, strict=False)
                readable = readable[len(verdicts) :]
                del verdicts
                yield judged
                judged = []
            if judged:
                yield judged

    def _store(self, judged: Sequence[tuple[Found, Judgement]]) -> int:
        """Returns how many of the reports were copies of others."""
        reports = [rows for _, verdict in judged if isinstance(verdict, Accepted) for rows in verdict.reports]
        duplicates = self._writer.write(reports) if reports else 0
        faults = [(each, faults_of(verdict)) for each, verdict in judged]
        self._rejected.keep([(each, _together(*some)) for each, some in faults if some])
        return duplicates


def _together(fault: Fault, *others: Fault) -> Fault:
    """What a message is kept for."""
    return replace(fault, detail=f"{fault.detail} (and {len(others)} more in it)") if others else fault


def _batches(found: Iterable[Found]) -> Iterator[list[Found]]:
    batch: list[Found] = []
    size = 0
    for each in found:
        batch.append(each)
        size += len(each.body)
        if len(batch) == _BATCH_MESSAGES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
