"""`mailposture backup`: the spool in one file, right while mail arrives."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import NamedPath, with_config
from collector.spool import back_up

if TYPE_CHECKING:
    from mailposture.config.model import Config


@click.command()
@with_config
@click.argument("destination", type=NamedPath(path_type=Path, allow_dash=True))
def command(config: Config, destination: Path) -> None:
    """Save what waits in the spool and what is held, to a new file; - is standard output.

    The collector goes on receiving. Save the spool first and ClickHouse after it: what is stored in between is in both,
    and counts once. `mailposture restore` puts it back.
    """
    folder = config.data / "spool"
    if destination != Path("-"):
        saved = back_up(folder, destination, keep_free=config.spool.keep_free)
    elif sys.stdout.isatty():
        raise click.UsageError("a backup is no text for a terminal; name a file, or redirect the output")
    else:
        with tempfile.TemporaryDirectory(dir=config.data, prefix="backup-") as room:
            file = Path(room) / "spool"
            saved = back_up(folder, file, keep_free=config.spool.keep_free)
            with file.open("rb") as copy:
                shutil.copyfileobj(copy, sys.stdout.buffer)
            sys.stdout.flush()
    click.echo(f"saved {saved.waiting:,} waiting and {saved.held:,} held messages", err=True)
