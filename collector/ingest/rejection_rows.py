"""The rows of `rejections` that ingest writes: bounded per day, since anybody can send what is rejected."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from collector.origin import origin_of
from collector.spool import held_id
from reports.rejection import RejectionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

    from collector.spool import Spooled
    from reports.rejection import Fault

OF_ONE_CLIENT: Final = 1_000
IN_ALL: Final = 10_000


@dataclass(slots=True)
class _Sum:
    """What is not listed one by one, of one source and reason."""

    messages: int = 0
    size: int = 0


class RejectionRows:
    """A row for each message, up to some per client and in all on a day (UTC); beyond them, one row for many.

    Such a row is written again whenever it grows, under the same key. Each process has its own, so they add up.
    """

    def __init__(
        self,
        *,
        of_one_client: int = OF_ONE_CLIENT,
        in_all: int = IN_ALL,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._of_one_client = of_one_client
        self._in_all = in_all
        self._now = now
        self._started = int(now().timestamp() * 1000)
        self._day: date | None = None
        self._listed: Counter[str] = Counter()
        self._listed_in_all = 0
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._rows: dict[int, RejectionRow] = {}  # by spool id, until they are stored

    def of(self, message: Spooled, fault: Fault) -> RejectionRow:
        """The row that accounts for a message; the same one when it is asked for again before settled()."""
        row = self._rows.get(message.id)
        if row is None:
            row = self._rows[message.id] = self._new(message, fault)
        return row

    def settled(self, ids: Iterable[int]) -> None:
        """These messages are accounted for."""
        for number in ids:
            self._rows.pop(number, None)

    def _new(self, message: Spooled, fault: Fault) -> RejectionRow:
        today = self._now().date()
        if today != self._day:
            self._day, self._listed, self._listed_in_all, self._sums = today, Counter(), 0, {}
        client = origin_of(message.envelope, b"").client
        if self._listed[client] < self._of_one_client and self._listed_in_all < self._in_all:
            self._listed[client] += 1
            self._listed_in_all += 1
            name = held_id(message.envelope, message.body)  # the id that holding it will give
            return RejectionRow.of(message.envelope, fault, size=len(message.body), held_id=name)
        return self._added(message, fault)

    def _added(self, message: Spooled, fault: Fault) -> RejectionRow:
        source, reason = message.envelope.source.value, fault.reason.value
        more = self._sums.setdefault((source, reason), _Sum())
        more.messages += 1
        more.size += len(message.body)
        now = self._now()
        return RejectionRow(
            received_at=now.replace(hour=0, minute=0, second=0, microsecond=0),
            held_id=f"{source}-{reason}-{self._started}",
            source=source,
            name="",
            peer="",
            size=more.size,
            reason=reason,
            detail="messages of this day beyond those that are listed one by one",
            messages=more.messages,
        )
