"""Keep a set of processes running until a signal to stop."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from mailposture import logs
from mailposture.log_file import LogFile
from mailposture.processes import Child, end, look_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

_BEAT = 0.2  # seconds between two looks at the children


class Stopped(BaseException):
    """SIGTERM or SIGINT arrived."""


def stop_on_signals() -> None:
    """From now on SIGTERM and SIGINT raise Stopped in the main thread."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the ending short
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


class _Terminal:
    """That a process began with, and with whose end it ends: not if a shell was asked to leave it behind.

    nohup has SIGHUP ignored; after disown the terminal goes without a SIGHUP.
    """

    def __init__(self) -> None:
        """To be made before SIGHUP has a handler."""
        self._ours = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and self._is_there()
        self._was_there = self._ours

    def look(self) -> None:
        """Now and then. Who sends a SIGHUP because the terminal is gone does so before the second look after that."""
        if self._ours:
            self._ours, self._was_there = self._was_there, self._is_there()

    def is_gone(self) -> bool:
        """Whether a SIGHUP that came means that."""
        return self._ours and not self._is_there()

    @staticmethod
    def _is_there() -> bool:
        try:
            with Path("/dev/tty").open("rb", buffering=0):
                return True
        except OSError:
            return False


def _pass_on_hangup(children: Sequence[Child], terminal: _Terminal) -> None:
    """From now on SIGHUP has the children read the configuration again; of a terminal that is gone it ends all."""

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        if terminal.is_gone():
            raise Stopped
        for child in children:
            if child.process is not None:
                child.process.send_signal(signal.SIGHUP)

    signal.signal(signal.SIGHUP, pass_on)


def supervise(
    service: str,
    children: Sequence[Child],
    *,
    log_file: Path | None = None,
    first: Callable[[], None] | None = None,
    each_beat: Callable[[], None] | None = None,
) -> None:
    """Start children and start again whichever dies, until a signal ends all; SIGHUP is passed on to them.

    Their logs, and those of this process, go to standard error or to `log_file`, which is kept small. `first` is called
    once they have been started, `each_beat` several times per second.
    """
    with ExitStack() as stack:
        words = stack.enter_context(log_file.open("ab")) if log_file else None
        bounded = LogFile(log_file) if log_file else None
        logs.set_up(service, log_file)
        stop_on_signals()
        terminal = _Terminal()
        _pass_on_hangup(children, terminal)
        try:
            for child in children:
                child.log = words
                child.start()
            if first is not None:
                first()
            while True:
                look_after(children)
                terminal.look()
                if bounded is not None:
                    bounded.keep_small()
                if each_beat is not None:
                    each_beat()
                time.sleep(_BEAT)
        except Stopped:
            pass
        finally:
            end(children)
