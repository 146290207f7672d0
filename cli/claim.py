"""What must be ours alone before anything starts: the data folder, and every address to listen on."""

from __future__ import annotations

import fcntl
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mailposture.net.listening import listening_as
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailposture.config.model import Config, Listen


@contextmanager
def claimed(config: Config) -> Iterator[None]:
    """Keep other collectors off the data folder for as long as this lasts; raises ProblemError if there is one.

    Two would share one spool, deliver to each other's listeners and empty each other's metrics.
    """
    folder = config.data / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProblemError(
                f"another mailposture already collects into {config.data}; end it, or give this one another `data`"
            ) from None
        yield


def check_collector_ports(config: Config) -> None:
    """Say which address of the collector is taken before anything starts; raises ProblemError."""
    _check(
        {
            "smtp.listen": config.smtp.listen,
            "smtp.lmtp": config.smtp.lmtp,
            "https.listen": config.https.listen,
            "metrics.collector": config.metrics.collector,
        }
    )


def check_exporter_port(config: Config) -> None:
    """The same for the exporter."""
    _check({"metrics.exporter": config.metrics.exporter})


def _check(listeners: dict[str, Listen | None]) -> None:
    for key, listen in listeners.items():
        if listen is None:
            continue
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        with listening_as(key, listen), socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((listen.host, listen.port))
