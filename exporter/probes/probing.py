"""The probes at work, in a thread with an event loop of its own, so that neither they nor scrapes have to wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import structlog

from exporter.asking import Asking
from exporter.probes import PROBES
from exporter.probes.history import History
from exporter.probes.inserting import Inserting
from exporter.probes.keys import KeysInUse
from exporter.probes.outcome import ProbeContext
from exporter.probes.results import Results
from exporter.probes.schedule import Probed, Scheduler
from exporter.probes.servers import SharedServers
from mailposture.checks.port25 import Port25
from mailposture.checks.vantage import Vantage, vantage_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from mailposture.config.model import Config

log = structlog.get_logger()

_PATIENCE = 10  # times the time for one server: a domain may have many, and they are looked at twenty at a time
_WRITE_EVERY = 10.0  # seconds
_RENDER_EVERY = 1.0  # seconds
_MISSED = 3  # intervals without a stored row
_SOONEST_MISSED = 600.0  # seconds
_PATIENCE_AT_THE_END = 2.0  # seconds for probes to break off, and for the last rows


class Probing:
    """Probes all domains of the configuration from start() to stop()."""

    def __init__(self, *, config: Config, registry: CollectorRegistry, vantage: Vantage | None = None) -> None:
        """`vantage`: from where to look, if not as configured. Raises ValueError if a nameserver is no address."""
        port_25 = Port25()
        vantage = vantage or vantage_of(config.probes)
        servers = SharedServers(vantage=vantage, kept=config.probes.interval.total_seconds() / 2)
        self._keys = KeysInUse(Asking(config))
        context = ProbeContext(config=config, vantage=vantage, port_25=port_25, servers=servers, keys_of=self._keys.of)
        self._results = Results(probes=PROBES, port_25=port_25)
        patience = max(_MISSED * config.probes.interval.total_seconds(), _SOONEST_MISSED)
        self._history = History(registry=registry, patience=patience)
        self._config = config
        self._context = context
        self._scheduler: Scheduler | None = None
        self._page = self._results.page().encode()
        self._fresh = False
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="probes", daemon=True)
        self._ending = threading.Event()
        self._writer = threading.Thread(target=self._keep_history, name="probe history", daemon=True)

    @property
    def page(self) -> bytes:
        """The metrics, at most a second or so old."""
        return self._page

    @property
    def alive(self) -> bool:
        """Whether probes are still made."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._writer.start()

    def follow(self, config: Config) -> None:
        """Probe the domains of another configuration from now on, of which all else is the same."""
        self._config = config
        with contextlib.suppress(RuntimeError):  # it has broken down, which `alive` says
            loop, _ = self._running.result()
            loop.call_soon_threadsafe(self._use, config)

    def _use(self, config: Config) -> None:
        if self._scheduler is not None:
            self._results.keep(self._scheduler.use(config))
            self._fresh = True
            log.info("probing", domains=len(config.domains), every=str(config.probes.interval))

    def stop(self) -> None:
        """End; rows that wait get a moment to be written."""
        with contextlib.suppress(TimeoutError, RuntimeError):  # it never began, or has broken down
            loop, stopped = self._running.result(_PATIENCE_AT_THE_END)
            loop.call_soon_threadsafe(stopped.set)
        self._thread.join(_PATIENCE_AT_THE_END)
        self._ending.set()
        self._writer.join(_PATIENCE_AT_THE_END)

    async def _run(self) -> None:
        stopped = asyncio.Event()
        self._running.set_result((asyncio.get_running_loop(), stopped))
        probes = self._config.probes
        self._scheduler = scheduler = Scheduler(
            probes=PROBES,
            context=self._context,
            interval=probes.interval.total_seconds(),
            concurrency=probes.concurrency,
            patience=_PATIENCE * probes.timeout.total_seconds(),
            publish=self._publish,
        )
        log.info("probing", domains=len(self._config.domains), every=str(probes.interval))
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(one) for one in (scheduler.run(), self._keep_page())]
            await stopped.wait()
            for task in work:
                task.cancel()

    def _publish(self, probed: Probed) -> None:
        self._results.note(probed)
        self._history.note(probed)
        self._fresh = True

    async def _keep_page(self) -> None:
        """Render what is new, spending a twentieth of the time on it at most, however many domains there are."""
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            if self._fresh:
                self._fresh = False
                self._page = self._results.page().encode()
            await asyncio.sleep(max(_RENDER_EVERY, 20 * (loop.time() - started)))

    def _keep_history(self) -> None:
        """What the probes need ClickHouse for, in one thread: which keys are in use, and what they saw."""
        insert = Inserting(self._config)
        self._keys.renew()
        while not self._ending.wait(_WRITE_EVERY):
            self._write(insert)
            self._keys.renew()
        self._write(insert)

    def _write(self, insert: Inserting) -> None:
        self._history.write(insert)
        self._context.listed.write(insert)
