"""`mailposture exporter`: metrics out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import config_path_option, find_config
from mailposture import logs
from mailposture.processes import end_with_parent
from reports.configuration import load_config

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_path_option
def command(config_path: Path | None) -> None:
    """Serve what reports say, and what probes see, as Prometheus metrics.

    SIGHUP reads domains and recipients of the configuration again.
    """
    from exporter.service import run  # noqa: PLC0415

    logs.set_up("exporter")
    end_with_parent()
    path = find_config(config_path)
    run(path, load_config(path))
