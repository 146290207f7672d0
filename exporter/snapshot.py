"""The page of reported gauges that scrapes are served: renewed in the background, never during a scrape.

A slow or dead ClickHouse must not slow a scrape down or make known failures vanish from the alerts: the last good page
stays, and says how old it is. One that hangs is found between two renewals too: within a scrape or two the numbers are
known to be stale.
"""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from mailposture.clickhouse.faults import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

log = structlog.get_logger()

_GZIP = 16 + zlib.MAX_WBITS  # zlib: with gzip's header and trailer
_FAST = 1  # compression level: a tenth of the size already, in a third of the time of level 6
_SOONEST_RETRY = 5.0  # seconds after a failed renewal
_KNOCK = 10.0  # seconds between two questions whether ClickHouse answers at all
_OVERDUE = 5  # periods without a renewal after which something hangs
_LONGEST_FAULT = 300  # characters of an error that are shown


class Page:
    """A text that is compressed once, whatever follows it in each answer."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self._compressor = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
        self._compressed = self._compressor.compress(self.text) + self._compressor.flush(zlib.Z_FULL_FLUSH)

    def plain_with(self, rest: bytes) -> bytes:
        return self.text + rest

    def gzip_with(self, rest: bytes) -> bytes:
        """One gzip member of the text and the rest; only the rest costs time."""
        compressor = self._compressor.copy()
        return self._compressed + compressor.compress(rest) + compressor.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The last good answers of ClickHouse, and when they were taken (time.time())."""

    page: Page
    taken_at: float


class Refresher(Collector):
    """Renews the snapshot in a thread of its own, and shows as metrics how that goes."""

    def __init__(
        self,
        *,
        read: Callable[[], str],
        knock: Callable[[], object],
        without_reports: str,
        every: float,
        registry: CollectorRegistry,
    ) -> None:
        """`read` asks ClickHouse and returns the whole page; `without_reports` is served until it first succeeds.

        `knock` asks it next to nothing. Both end by a time-out or an exception when it does not answer.
        """
        self._read = read
        self._knock = knock
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)
        self._before_first = Page(without_reports)
        self._snapshot: Snapshot | None = None
        self._fault: str | None = "ClickHouse has not answered yet"
        self._duration = 0.0
        self._refreshes = Counter(
            "mailposture_reported_refreshes",
            "Renewals of the reported metrics, by outcome",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("success", "failure"):
            self._refreshes.labels(outcome)
        registry.register(self)

    @property
    def page(self) -> Page:
        snapshot = self._snapshot
        return snapshot.page if snapshot else self._before_first

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def fault(self) -> str | None:
        """Why the reported metrics are not to be relied on now; None if all is well."""
        fault, age = self._fault, self._age()
        if age is None:
            return fault
        if fault is not None:
            return f"the reported metrics are {age:.0f} s old: {fault}"
        if age > _OVERDUE * self._every:
            return f"the reported metrics are {age:.0f} s old: ClickHouse takes long to answer"
        return None

    def _age(self) -> float | None:
        """Seconds since the last success."""
        snapshot = self._snapshot
        return max(0.0, time.time() - snapshot.taken_at) if snapshot else None

    def begin_with(self, without_reports: str) -> None:
        """Serve this until the first success, if there was none yet."""
        self._before_first = Page(without_reports)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it is not waited for, since a query may hang."""
        self._stop.set()

    def refresh(self) -> bool:
        """Renew the snapshot once; on failure the old one stays."""
        started = time.monotonic()
        try:
            page = Page(self._read())
        except Exception as error:  # whatever it is, scrapes must go on and the next attempt must come
            self._fail(reason(error))
        else:
            self._snapshot = Snapshot(page=page, taken_at=time.time())
            if self._fault is not None:
                log.info("reported metrics renewed", bytes=len(page.text))
            self._fault = None
        self._duration = time.monotonic() - started
        self._refreshes.labels("failure" if self._fault else "success").inc()
        return self._fault is None

    def still_answers(self) -> bool:
        """Whether ClickHouse could renew the snapshot, should it be due."""
        try:
            self._knock()
        except Exception as error:  # as above
            self._fail(reason(error))
            return False
        return True

    def _fail(self, why: str) -> None:
        fault = why[:_LONGEST_FAULT]
        if fault != self._fault:
            log.error("reported metrics not renewed", reason=fault)
        self._fault = fault

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(min(_KNOCK, max(0.0, due - time.monotonic()))):
            started = time.monotonic()
            if started >= due:
                due = started + (self._every if self.refresh() else min(_SOONEST_RETRY, self._every))
            elif not self.still_answers():
                due = time.monotonic() + _SOONEST_RETRY

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "mailposture_reported_up",
            "1 while the reported metrics are renewed and ClickHouse answers, else 0: they are old, or missing",
            value=float(self.fault is None),
        )
        yield GaugeMetricFamily(
            "mailposture_reported_refresh_duration_seconds",
            "How long the last renewal of the reported metrics took",
            value=self._duration,
        )
        age = self._age()
        if age is not None:
            yield GaugeMetricFamily(
                "mailposture_reported_age_seconds",
                "Age of the reported metrics; no series before the first success",
                value=age,
            )
