"""How mailing the digest goes, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from prometheus_client.metrics_core import Metric


class Status(Collector):
    """What the thread that mails writes down, and scrapes read."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting: tuple[datetime, int] | None = None
        self._last_sent: datetime | None = None
        self._attempts = Counter(
            "mailposture_digest_attempts", "Attempts to mail a digest, by outcome", ["outcome"], registry=registry
        )
        for outcome in ("success", "failure"):
            self._attempts.labels(outcome)
        registry.register(self)

    def waits(self, recipients: int, *, since: datetime) -> None:
        """For so many recipients the digest that was due then has not been handed over."""
        self._waiting = (since, recipients) if recipients else None

    def sent(self, at: datetime) -> None:
        """The mail server accepted one, maybe in an earlier process."""
        self._last_sent = max(at, self._last_sent or at)

    def attempted(self, outcome: str) -> None:
        self._attempts.labels(outcome).inc()

    def collect(self) -> Iterator[Metric]:
        waiting, last = self._waiting, self._last_sent
        yield GaugeMetricFamily(
            "mailposture_digest_waiting",
            "Recipients that the newest digest has not been handed over for; 0 without `digest:` in the configuration",
            value=waiting[1] if waiting else 0,
        )
        if waiting:
            yield GaugeMetricFamily(
                "mailposture_digest_waiting_since_timestamp_seconds",
                "When the digest that waits was due; no series while none waits",
                value=waiting[0].timestamp(),
            )
        if last:
            yield GaugeMetricFamily(
                "mailposture_digest_last_sent_timestamp_seconds",
                "When the mail server last accepted a digest; no series before the first",
                value=last.timestamp(),
            )
