"""Children that live and die with their parent: started, restarted with back-off, and ended together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

logger = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_PARENT = "MAILPOSTURE_PARENT"  # names the parent to a child, which so notices if that died before prctl
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before a dead child is started again
_HEALTHY_AFTER = 60.0  # seconds of life after which the pause starts from the beginning
_PATIENCE = 10.0  # seconds that children get to finish what they acknowledged


def end_with_parent() -> None:
    """Have Linux send this Child SIGTERM when its parent dies, however it dies; elsewhere nothing happens.

    Nothing happens either in a process that no Child.start() started: it may outlive its shell (nohup, setsid, disown).
    """
    parent = os.environ.pop(_PARENT, None)
    if parent is None:
        return
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return
    if parent != str(os.getppid()):
        sys.exit("the parent process was gone before this one had begun")


@dataclass(slots=True, kw_only=True)
class Child:
    """A process that belongs to us."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    log: IO[bytes] | None = None  # where its standard error goes, if not to ours
    process: subprocess.Popen[bytes] | None = None
    _pause: float = _FIRST_PAUSE
    _started: float = 0.0
    _again_at: float = 0.0

    def start(self) -> None:
        environment = {**os.environ, **self.environment, _PARENT: str(os.getpid())}
        self.process = subprocess.Popen(self.command, env=environment, stdin=subprocess.DEVNULL, stderr=self.log)
        self._started = time.monotonic()

    def look_after(self, now: float) -> None:
        """Start the child again when it has died, after a pause that grows while it keeps dying."""
        if self.process is None:
            if now >= self._again_at:
                self.start()
            return
        status = self.process.poll()
        if status is None:
            return
        if now - self._started > _HEALTHY_AFTER:
            self._pause = _FIRST_PAUSE
        logger.error("child ended, starting it again", child=self.name, status=status, pause_seconds=self._pause)
        self.process, self._again_at = None, now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def look_after(children: Sequence[Child]) -> None:
    """Start again whichever child has died; call this several times per second."""
    now = time.monotonic()
    for child in children:
        child.look_after(now)


def end(children: Sequence[Child]) -> None:
    """End all children, politely first; returns when none is left."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _PATIENCE
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
