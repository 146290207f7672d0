"""Reading the configuration, as all that is started does: with what only this floor knows checked too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailposture.config.file import load
from mailposture.problems import ConfigError
from reports.acknowledging import check_acknowledgeable
from reports.dmarc.senders import check_senders

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config.model import Config


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError, whose message names the file, what is wrong and what to do."""
    config = load(path, acknowledgeable=check_acknowledgeable)
    try:
        check_senders(config)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config
