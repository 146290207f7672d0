"""Reports out of files, straight to ClickHouse: the files stay where they are, so no spool is needed in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from collector.ingest.judge import Accepted, Judge, Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from collector.importing.files import Found
    from collector.importing.rejected import RejectedFiles
    from collector.ingest.writer import Writer
    from reports.rejection import Fault, Reason
    from reports.rows import Rows

_MOST_SHOWN = 20
_BATCH_MESSAGES = 500
_BATCH_BYTES = 32 * 1024 * 1024


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
    rejected: Counter[Reason] = field(default_factory=Counter)
    first_rejected: list[RejectedFile] = field(default_factory=list)  # a few of them, to show

    def reject(self, name: str, fault: Fault) -> None:
        """Count one more."""
        self.rejected[fault.reason] += 1
        if len(self.first_rejected) < _MOST_SHOWN:
            self.first_rejected.append(RejectedFile(name=name, reason=fault.reason, detail=fault.detail))


class Importer:
    """Judges what lies in files, batch by batch, and stores it."""

    def __init__(self, *, judge: Judge, writer: Writer, rejected: RejectedFiles) -> None:
        self._judge = judge
        self._writer = writer
        self._rejected = rejected

    def run(self, found: Iterable[Found], *, on_each: Callable[[], None]) -> Account:
        """Store all that is found; `on_each` is called once for each.

        Raises what ClickHouse raises, and SpoolError: run it again then.
        """
        account = Account()
        for batch in _batches(found):
            rejected = [(each, each.fault) for each in batch if each.fault is not None]
            readable = [each for each in batch if each.fault is None]
            while readable:
                verdicts = self._judge.judge([(each.envelope, each.body) for each in readable], now=datetime.now(UTC))
                judged = list(zip(readable, verdicts, strict=False))
                accepted = [verdict.reports for _, verdict in judged if isinstance(verdict, Accepted)]
                self._store([rows for reports in accepted for rows in reports], account)
                rejected += [(each, verdict.fault) for each, verdict in judged if isinstance(verdict, Rejected)]
                rejected += [
                    (each, verdict.lost)
                    for each, verdict in judged
                    if isinstance(verdict, Accepted) and verdict.lost is not None
                ]
                readable = readable[len(judged) :]
            self._rejected.keep(rejected)
            for each, fault in rejected:
                account.reject(each.envelope.name, fault)
            for _ in batch:
                on_each()
        return account

    def _store(self, reports: list[Rows], account: Account) -> None:
        if reports:
            duplicates = self._writer.write(reports)
            account.duplicates += duplicates
            account.reports += len(reports) - duplicates


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
