"""`mailposture run`: everything from one command, on the embedded engine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
import structlog
from rich.console import Console

from cli import collector
from cli.claim import check_collector_ports, check_exporter_port, claimed
from cli.commands import own_process
from cli.database import database
from cli.options import CONFIG_NAME, DEMO_CONFIG, config_path_option
from cli.screen import show
from cli.supervise import supervise
from demo.config import config_text
from demo.keys import load_or_generate, public_records
from demo.nameserver import Nameserver
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.problems import ProblemError
from mailposture.processes import Child
from mailposture.quoting import printable
from mailposture.unfailing import unfailing
from reports.configuration import load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mailposture.config.model import Config

log = structlog.get_logger()

_READY_WITHIN = 60.0  # seconds; usually two
_DATABASE_WITHIN = 20.0
_DEMO_WITHIN = 120.0
_END_OF_LOG = 16 * 1024  # bytes
_ENGINE_PAUSE = 2.0  # seconds before a dead engine is started again


@click.command()
@config_path_option
def command(config_path: Path | None) -> None:
    """Run everything here: collector, exporter and, without clickhouse.url, the embedded ClickHouse engine.

    Without a configuration it is a demo: a made-up month of reports about made-up domains, mailed through the real
    SMTP listener. Ctrl-C ends all of it; nothing that was accepted is lost.
    """
    with ExitStack() as stack:
        demo = config_path is None and not Path(CONFIG_NAME).exists()
        path = _prepare_demo(stack) if demo else config_path or Path(CONFIG_NAME)
        config = load_config(path)
        check_collector_ports(config)
        check_exporter_port(config)
        stack.enter_context(claimed(config))
        log_file = config.data / "mailposture.log" if _nobody_bounds(sys.stderr) else None
        engine = None
        if config.clickhouse.url is None:
            engine = _Engine(config)
            stack.callback(engine.stop)
            with database(config, user=config.clickhouse.collector_user):
                pass  # the schema is there before anybody asks for it
        exporter = Child(name="exporter", command=own_process("exporter", path))
        children = [*collector.children(path, config), exporter]
        supervise(
            "run",
            children,
            log_file=log_file,
            first=lambda: _welcome(config, path, children, demo=demo, log_file=log_file),
            each_beat=engine.look_after if engine else None,
        )


def _nobody_bounds(stream: IO[str]) -> bool:
    """Whether a log there would fill a screen, or a file for ever; behind a pipe is a logger that sees to that."""
    try:
        return stream.isatty() or stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # it is no file of the system's
        return False


class _Engine:
    """The embedded engine, started again whenever it has died."""

    def __init__(self, config: Config) -> None:
        self._engine = EmbeddedEngine(config)
        self._engine.start()
        self._again_at = 0.0

    def look_after(self) -> None:
        self._engine.keep_log_small()
        if self._engine.alive() or time.monotonic() < self._again_at:
            return
        log.error("the embedded engine ended, restarting it; the spool keeps what arrives")
        try:
            self._engine.start(patience=0)  # nobody beats for the others meanwhile
        except ProblemError as error:
            log.exception("the embedded engine does not start", reason=str(error))
        self._again_at = time.monotonic() + _ENGINE_PAUSE

    def stop(self) -> None:
        self._engine.stop()


def _prepare_demo(stack: ExitStack) -> Path:
    """Write the demo's configuration and start the name server that knows its senders' keys."""
    keys = load_or_generate(DEMO_CONFIG.parent / "keys")
    nameserver = stack.enter_context(Nameserver(public_records(keys)))
    DEMO_CONFIG.write_text(config_text(nameserver=nameserver.address), encoding="utf-8")
    return DEMO_CONFIG


def _welcome(config: Config, path: Path, children: Sequence[Child], *, demo: bool, log_file: Path | None) -> None:
    """Wait until all runs, send the demo's mails once, and print the screen."""
    console = Console(highlight=False, file=unfailing(sys.stdout))
    hint = f"; its log is {log_file}" if log_file else ""
    collector_at = f"http://{config.metrics.collector}"
    with console.status("Starting …"):
        ready = _holds(
            lambda: _all_run(children, log_file) and _page(f"{collector_at}/readyz") == b"ok\n", _READY_WITHIN
        )
        if not ready:
            raise ProblemError(f"the receiver is not ready after {_READY_WITHIN:.0f} s{hint}")
        # A database that does not answer is no reason to end: the spool keeps what arrives.
        stored = _holds(lambda: _page(f"{collector_at}/healthz") == b"ok\n", _DATABASE_WITHIN)
    client = connect(config, user=config.clickhouse.analyst_user) if stored else None
    if client and demo and not client.command("SELECT count() FROM tls_report_log"):
        with console.status("Mailing a made-up month of reports through the SMTP listener …"):
            _do_for_demo("demo-mails", path)
            emptied = _holds(
                lambda: b"\nmailposture_spool_messages 0.0\n" in _page(f"{collector_at}/metrics"), _DEMO_WITHIN
            )
            if not emptied:
                raise ProblemError(f"the demo's mails still wait{hint}")
            _do_for_demo("demo-history", path)
    show(console, config, path, demo=demo, log_file=log_file, client=client)


def _all_run(children: Sequence[Child], log_file: Path | None) -> bool:
    """True; raises ProblemError, with the reason, if a child has ended before all runs: it would only do so again."""
    for child in children:
        status = child.process.poll() if child.process else None
        if status is not None:
            why = _last_words(log_file) if log_file else "its reason is above"
            raise ProblemError(f"the {child.name} ended at once, with status {status}: {why}")
    return True


def _last_words(log_file: Path) -> str:
    """The last line that is no log entry: what a process says as it ends."""
    with log_file.open("rb") as log:
        log.seek(max(0, log_file.stat().st_size - _END_OF_LOG))
        lines = log.read().decode(errors="replace").splitlines()
    words = next((line for line in reversed(lines) if line and not line.startswith("{")), f"see {log_file}")
    return printable(words.removeprefix("mailposture: "))


def _do_for_demo(command: str, path: Path) -> None:
    """One of cli/demo.py, which says itself what goes wrong."""
    if subprocess.run(own_process(command, path), check=False, stdin=subprocess.DEVNULL).returncode:
        raise ProblemError("the demo's month could not be made; the reason is above")


def _holds(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes to hold within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


def _page(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  our own listener
            content: bytes = response.read()
            return content
    except OSError:
        return b""
