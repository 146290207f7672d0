"""The exporter's HTTP service: /metrics for Prometheus, /healthz and /readyz for whoever runs it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.process_collector import ProcessCollector

from exporter.asking import Asking
from exporter.digests.sending import Sending
from exporter.probes.probing import Probing
from exporter.reported import configured, reported
from exporter.snapshot import Refresher
from mailposture.problems import ProblemError
from reports.reloading import Reloading, Reloads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mailposture.config.model import Config, Listen

log = structlog.get_logger()

_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_PATIENCE = 2.0  # seconds that a running scrape gets at the end


def run(path: Path, config: Config) -> None:
    """Serve metrics until SIGTERM or SIGINT; SIGHUP reads the configuration file again. Raises ProblemError."""
    asyncio.run(_serve(path, config))


async def _serve(path: Path, config: Config) -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    reloading = Reloading(path, config, note=Reloads("exporter", registry=registry).note)
    probing = Probing(config=config, registry=registry) if config.probes.enabled else None
    sending = Sending(config=lambda: reloading.config, registry=registry)
    ask = Asking(config)
    refresher = Refresher(
        read=_reader(reloading, ask),
        knock=lambda: ask("SELECT 1", {}),
        without_reports=configured(config),
        every=config.metrics.refresh.total_seconds(),
        registry=registry,
    )
    stopped = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)

    def follow() -> None:
        new = reloading.again()
        if new is not None:
            refresher.begin_with(configured(new))
            if probing is not None:
                probing.follow(new)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, follow)
    runner = web.AppRunner(
        application(refresher=refresher, registry=registry, probing=probing, sending=sending),
        access_log=None,
        shutdown_timeout=_PATIENCE,
    )
    await runner.setup()
    refresher.start()
    if probing is not None:
        probing.start()
    sending.start()
    try:
        await _listen(runner, config.metrics.exporter)
        host, port = runner.addresses[0][:2]
        log.info("exporter listening", url=f"http://{host}:{port}/metrics", domains=len(config.domains))
        await stopped.wait()
    finally:
        refresher.stop()
        sending.stop()
        await runner.cleanup()
        if probing is not None:
            probing.stop()
        log.info("exporter ended")


async def _listen(runner: web.AppRunner, listen: Listen) -> None:
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        raise ProblemError(
            f"the exporter cannot listen on {listen} ({error.strerror}); end the program that does (another exporter?) "
            "or set metrics.exporter in the configuration"
        ) from error


def _reader(reloading: Reloading, ask: Asking) -> Callable[[], str]:
    """What writes the whole page: what needs no report, then what reports say."""

    def read() -> str:
        config = reloading.config
        return configured(config) + reported(ask=ask, domains=config.by_name.keys())

    return read


def application(
    *,
    refresher: Refresher,
    registry: CollectorRegistry,
    probing: Probing | None = None,
    sending: Sending | None = None,
) -> web.Application:
    """The routes; what they serve is ready before they are asked."""

    async def metrics(request: web.Request) -> web.Response:
        own = (probing.page if probing else b"") + generate_latest(registry)
        headers = {hdrs.CONTENT_TYPE: _TEXT_FORMAT, hdrs.VARY: hdrs.ACCEPT_ENCODING}
        if "gzip" not in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            return web.Response(body=refresher.page.plain_with(own), headers=headers)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        return web.Response(body=refresher.page.gzip_with(own), headers=headers)

    async def healthz(_: web.Request) -> web.Response:
        """Whether to restart this process: not because ClickHouse does not answer."""
        if not refresher.alive:
            return web.Response(
                status=503, text="the thread that renews the reported metrics has ended; restart the exporter\n"
            )
        if probing is not None and not probing.alive:
            return web.Response(status=503, text="the thread that probes has ended; restart the exporter\n")
        if sending is not None and not sending.alive:
            return web.Response(status=503, text="the thread that mails the digest has ended; restart the exporter\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        """Whether /metrics says what reports say now."""
        fault = refresher.fault
        return web.Response(text="ready\n") if fault is None else web.Response(status=503, text=f"{fault}\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app
