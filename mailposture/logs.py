"""Structured logs: one JSON object a line for machines, aligned text on a terminal."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

from mailposture.log_limit import LogLimit
from mailposture.quoting import printable
from mailposture.unfailing import unfailing

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import EventDict, WrappedLogger


def set_up(service: str, path: Path | None = None, *, least: int = logging.INFO) -> None:
    """Send the logs of this process to a file, or to standard error; every line names the service.

    `least` is the lowest level that is written, as logging names it. Of one event only so many lines are written. Lines
    that cannot be written are lost, and stop nothing.
    """
    stream = path.open("a", encoding="utf-8", buffering=1) if path else sys.stderr
    structlog.configure(
        processors=[
            LogLimit(),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *([_inert, structlog.dev.ConsoleRenderer()] if stream.isatty() else [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        # A line at once, with its end: other processes write into the same file.
        logger_factory=structlog.WriteLoggerFactory(unfailing(stream)),
    )
    structlog.contextvars.bind_contextvars(service=service)
    # What these log is raised as an exception too, and logged from there.
    for library in ("clickhouse_connect", "urllib3"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _inert(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Without what a terminal acts on: reasons and tracebacks may contain untrusted input. JSON escapes it."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}
