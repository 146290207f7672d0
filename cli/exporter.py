"""`mailposture exporter`: metrics out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import with_config
from mailposture import logs
from mailposture.processes import end_with_parent

if TYPE_CHECKING:
    from mailposture.config.model import Config


@click.command()
@with_config
def command(config: Config) -> None:
    """Serve what reports say as Prometheus metrics."""
    from exporter.service import run  # noqa: PLC0415

    logs.set_up("exporter")
    end_with_parent()
    run(config)
