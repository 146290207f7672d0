"""`mailposture restore`: what a backup of the spool has, back into a spool."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import NamedPath, with_config
from collector.spool import restore

if TYPE_CHECKING:
    from mailposture.config.model import Config


@click.command()
@with_config
@click.argument("source", type=NamedPath(path_type=Path, allow_dash=True))
def command(config: Config, source: Path) -> None:
    """Put a backup into the spool: one that is empty, or one that a collector uses; - is standard input.

    Messages that waited are read again, and what is in ClickHouse already counts once. What was held is held again.
    """
    folder = config.data / "spool"
    if source != Path("-"):
        saved = restore(folder, source)
    else:
        config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=config.data, prefix="restore-") as room:
            file = Path(room) / "spool"
            with file.open("wb") as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy)
            saved = restore(folder, file)
    click.echo(f"restored {saved.waiting:,} waiting and {saved.held:,} held messages")
