"""What probes saw, as rows of table probe_results: to be put beside what senders report about the same day."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import astuple, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Counter, Gauge

from exporter.probes.outcome import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import CollectorRegistry

    from exporter.probes.schedule import Probed

log = structlog.get_logger()

_TABLE = "probe_results"
_ABOUT = ("day", "policy_domain", "probe", "probed_at")
_FINDING = tuple(field.name for field in fields(Finding))
_COLUMNS = (*_ABOUT, *_FINDING)
_DURATION = _FINDING.index("duration_seconds")
_REASON = _FINDING.index("reason")
_DETAIL = _FINDING.index("detail")
_PUBLISHED = _FINDING.index("published")
_NOT_AFTER = _FINDING.index("certificate_not_after")

_MOST_WAITING = 50_000  # rows kept while ClickHouse does not answer; then the oldest go: alerts need the newest
_MOST_AT_ONCE = 10_000
_LONGEST_DETAIL = 500
_LONGEST_RECORD = 4096  # characters; a key of 4096 bits takes 800
_LAST_TIME = datetime(2299, 12, 31, tzinfo=UTC)  # of DateTime64; certificates may say 9999


class History:
    """Rows on their way to ClickHouse. note() in the thread of the probes, write() in one other at a time."""

    def __init__(
        self, *, registry: CollectorRegistry, patience: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`patience`: seconds without a row in ClickHouse after which its alerts do not know what probes see."""
        self._now = now
        self._written_at = now()
        self._waiting: deque[tuple[Any, ...]] = deque()
        Gauge(
            "mailposture_probes_up",
            "1 while what the probes see reaches ClickHouse, where alerts are made of it; 0 after three intervals "
            "without (10 minutes at least)",
            registry=registry,
        ).set_function(lambda: float(now() - self._written_at <= patience))
        self._rows = Counter(
            "mailposture_probe_rows",
            "Rows of the probe history, by outcome: written to ClickHouse, or lost because it was down for too long",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("written", "lost"):
            self._rows.labels(outcome)

    def note(self, probed: Probed) -> None:
        """Take in the findings of a probe; one that broke off has none."""
        for finding in probed.outcome.findings:
            if len(self._waiting) >= _MOST_WAITING:
                self._waiting.popleft()
                self._rows.labels("lost").inc()
            self._waiting.append(_row(probed, finding))

    def write(self, insert: Callable[[str, Sequence[Sequence[Any]], Sequence[str]], None]) -> None:
        """Write what waits, oldest first; on failure it keeps waiting. A row that is written twice counts once."""
        while batch := [self._waiting[index] for index in range(min(len(self._waiting), _MOST_AT_ONCE))]:
            try:
                insert(_TABLE, batch, _COLUMNS)
            except Exception as error:  # whatever it is, the next attempt must come
                log.warning("probe history not written", error=str(error)[:300], waiting=len(self._waiting))
                return
            for row in batch:
                if self._waiting and self._waiting[0] is row:
                    self._waiting.popleft()
            self._rows.labels("written").inc(len(batch))
            self._written_at = self._now()


def _row(probed: Probed, finding: Finding) -> tuple[Any, ...]:
    values = list(astuple(finding))
    if finding.duration_seconds is None:
        values[_DURATION] = probed.duration
    values[_REASON] = str(finding.reason or "")
    values[_DETAIL] = finding.detail[:_LONGEST_DETAIL]
    values[_PUBLISHED] = finding.published[:_LONGEST_RECORD]
    if finding.certificate_not_after is not None:
        values[_NOT_AFTER] = min(finding.certificate_not_after, _LAST_TIME)
    return (probed.probed_at.date(), probed.policy_domain, probed.probe, probed.probed_at, *values)
