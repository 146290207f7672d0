"""The configuration as a running service follows it: read again on SIGHUP, and refused while it is broken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from prometheus_client import Gauge

from mailposture.problems import ConfigError
from reports.configuration import load_config

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from prometheus_client import CollectorRegistry

    from mailposture.config.model import Config

log = structlog.get_logger()

FOLLOWED: Final = ("domains", "recipients")
"""The keys that a running service follows; the others need a restart."""


USABLE: Final = (
    "mailposture_config_last_reload_successful",
    "Whether the configuration file could be used when last read (1), or an earlier one stays in use (0), by service",
)
READ_AT: Final = (
    "mailposture_config_last_reload_success_timestamp_seconds",
    "When the configuration in use was read, by service",
)


class Note(Protocol):
    """Shows as metrics how reading went."""

    def __call__(self, *, usable: bool, read_at: float) -> None:
        """`read_at`: when the configuration in use was read."""


class Reloads:
    """The same two metrics for each service, by a label."""

    def __init__(self, service: str, *, registry: CollectorRegistry) -> None:
        self._service = service
        self._usable = Gauge(*USABLE, ["service"], registry=registry)
        self._read_at = Gauge(*READ_AT, ["service"], registry=registry)

    def note(self, *, usable: bool, read_at: float) -> None:
        """Show how reading went."""
        self._usable.labels(self._service).set(float(usable))
        self._read_at.labels(self._service).set(read_at)


class Reloading:
    """Which configuration a service goes by."""

    def __init__(
        self,
        path: Path,
        config: Config,
        *,
        note: Note,
        elsewhere: Collection[str] = ("policy_host",),
    ) -> None:
        """`note` shows whether the file could be used, and when what is used was read (Unix time).

        `elsewhere`: sections that this service does not look at.
        """
        self._path = path
        self._note = note
        self._elsewhere = frozenset(elsewhere)
        self._read_at = time.time()
        self.config = config
        note(usable=True, read_at=self._read_at)

    def again(self) -> Config | None:
        """Read the file again; returns the configuration to go by from now on, or None where it is refused."""
        try:
            config = load_config(self._path)
        except ConfigError as error:
            self._note(usable=False, read_at=self._read_at)
            log.error("configuration refused; the one before stays in use", reason=str(error))
            return None
        keys = needing_restart(self.config, config, elsewhere=self._elsewhere)
        if keys:
            log.warning("restart to apply", keys=keys)
        self.config = self.config.model_copy(update={key: getattr(config, key) for key in FOLLOWED})
        self._read_at = time.time()
        self._note(usable=True, read_at=self._read_at)
        log.info("configuration read again", domains=len(self.config.domains))
        return self.config


def needing_restart(old: Config, new: Config, *, elsewhere: Collection[str] = ()) -> list[str]:
    """The keys whose change a running service does not follow, as `smtp.listen`."""
    keys: list[str] = []
    for section in type(old).model_fields:
        before, after = getattr(old, section), getattr(new, section)
        if section in (*FOLLOWED, *elsewhere) or before == after:
            continue
        fields = getattr(type(before), "model_fields", None)
        if fields is None or type(before) is not type(after):
            keys.append(section)
        else:
            keys += [f"{section}.{key}" for key in fields if getattr(before, key) != getattr(after, key)]
    return keys
