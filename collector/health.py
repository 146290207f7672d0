"""Whether a collector is well: two small pages and the metrics, served by the receiver for both processes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from collector.spool import HeldState, Spool, SpoolError, SpoolQueue, SpoolStats
from mailposture.net.listening import listening_as

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.heartbeat import Heartbeat
    from mailposture.config.model import Listen


class _SpoolCollector(Collector):
    """What waits and what is held, read from the spool at each scrape."""

    def __init__(self, *, spool: Spool, queue: SpoolQueue, heartbeat: Heartbeat) -> None:
        self._spool = spool
        self._queue = queue
        self._heartbeat = heartbeat

    def collect(self) -> Iterable[Metric]:
        stats = self._queue.stats()
        yield _gauge("mailposture_spool_messages", "Messages that wait in the spool", stats.depth)
        yield _gauge("mailposture_spool_bytes", "Bytes that wait in the spool", stats.bytes)
        yield _gauge("mailposture_spool_deferred_messages", "Messages deferred until DNS answers", stats.deferred)
        yield _gauge("mailposture_spool_deferred_bytes", "Bytes deferred until DNS answers", stats.deferred_bytes)
        oldest = (stats.oldest_age or timedelta()).total_seconds()
        yield _gauge("mailposture_spool_oldest_seconds", "Age of the message that has waited longest", oldest)
        yield _gauge("mailposture_spool_accepting", "1 while the disk has room for more", _accepting(self._spool))
        yield from _held(stats)
        yield _gauge("mailposture_ingest_up", "1 while ingest is alive", self._heartbeat.ingest_runs)
        yield _gauge("mailposture_clickhouse_up", "1 while ClickHouse answers ingest", self._heartbeat.database_answers)


def _held(stats: SpoolStats) -> Iterable[Metric]:
    messages = GaugeMetricFamily("mailposture_held_messages", "Messages held, by state", labels=["state"])
    size = GaugeMetricFamily(
        "mailposture_held_bytes", "Bytes of messages held, by state, as they are stored", labels=["state"]
    )
    for state in HeldState:
        total = stats.held.get(state)
        messages.add_metric([state], total.messages if total else 0)
        size.add_metric([state], total.bytes if total else 0)
    return messages, size


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _accepting(spool: Spool) -> bool:
    try:
        spool.check_room()
    except SpoolError:
        return False
    return True


async def serve_health(
    listen: Listen, *, spool: Spool, queue: SpoolQueue, heartbeat: Heartbeat, mailboxes: Collector
) -> web.AppRunner:
    """Serve /metrics, /healthz (both processes run) and /readyz (reports are accepted) until the runner is cleaned up.

    A ClickHouse that is down makes neither fail: the spool keeps what is accepted. /healthz says so. Raises
    ProblemError for an address that is taken.
    """
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the counters of receiver and ingest, added up
    registry.register(_SpoolCollector(spool=spool, queue=queue, heartbeat=heartbeat))
    registry.register(mailboxes)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_request: web.Request) -> web.Response:
        problems = [] if heartbeat.ingest_runs else ["ingest shows no sign of life; its log says why"]
        notes = [] if heartbeat.database_answers else ["ClickHouse does not answer; the spool keeps what is accepted"]
        return _page(problems, notes)

    async def readyz(_request: web.Request) -> web.Response:
        try:
            spool.check_room()
        except SpoolError as error:
            return _page([str(error)], [])
        return _page([], [])

    application = web.Application()
    application.add_routes(
        [web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)],
    )
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    with listening_as("metrics.collector", listen):
        await web.TCPSite(runner, listen.host, listen.port).start()
    return runner


def _page(problems: list[str], notes: list[str]) -> web.Response:
    text = "\n".join(problems + notes) or "ok"
    return web.Response(text=text + "\n", status=503 if problems else 200)
