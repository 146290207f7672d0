"""`mailposture import`: old reports from files, folders, mailboxes on disk, or standard input."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.database import database
from cli.exit_codes import DONE, FAILED
from cli.options import NamedPath, with_config
from collector.garbage import look_for_garbage_rarely
from collector.importing import files
from collector.importing.importer import Account, Importer
from collector.importing.rejected import RejectedFiles
from collector.ingest.judge import Judge
from collector.ingest.writer import Writer
from collector.spool import HeldMessages
from collector.trust import DkimVerifier, KeyCache

if TYPE_CHECKING:
    from mailposture.config.model import Config


@click.command()
@with_config
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=NamedPath(path_type=Path, allow_dash=True))
def command(config: Config, paths: tuple[Path, ...]) -> None:
    """Store reports from mails, JSON, XML, mbox, Maildir, archives, and folders of them; - reads standard input.

    Files may hold several: JSON lines, arrays, what cat prints of many. Archives are zip and tar; compressed with gzip,
    bzip2, xz, Zstandard or LZ4 (by Dovecot too) is anything. Other containers (PST, mdbox) are refused with the command
    that exports them.

    Imported reports are trusted: no DKIM signature is required. A report that is already stored counts once. Our own
    data folder is skipped. Exit code 1: something was rejected, and is named.

    \b
    Examples:
      mailposture import ~/Maildir
      mailposture import reports/ old.zip one.json.gz
      zcat 2026-*/*.json.gz | mailposture import -
    """
    if any(_holds(path, config.data) for path in paths):
        click.echo(f"skipped: {config.data}, mailposture's own data folder", err=True)
    with (
        database(config, user=config.clickhouse.collector_user) as client,
        closing(HeldMessages(config.data / "spool", rules=config.spool)) as held,
        closing(KeyCache()) as keys,
    ):
        writer = Writer(client=client, database=config.clickhouse.tables_database)
        importer = Importer(
            judge=Judge(config, verifier=DkimVerifier(keys=keys)),
            writer=writer,
            rejected=RejectedFiles(held=held, writer=writer, client=client),
        )
        total = None if Path("-") in paths else files.count(paths, without=config.data)
        with Progress(
            TextColumn("importing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as progress:
            task = progress.add_task("importing", total=total)
            look_for_garbage_rarely()
            account = importer.run(files.find(paths, without=config.data), on_each=lambda: progress.advance(task))
    _print(account)
    sys.exit(FAILED if account.rejected else DONE)


def _holds(path: Path, data: Path) -> bool:
    """Whether the walk below a path would come to our data."""
    # Not Path.resolve(), which raises for links in a circle.
    return path != files.STANDARD_INPUT and Path(os.path.realpath(data)).is_relative_to(os.path.realpath(path))


def _print(account: Account) -> None:
    click.echo(f"{account.reports:,} reports, {account.duplicates:,} duplicates, {account.rejected.total():,} rejected")
    if account.passed_over:
        click.echo(f"{account.passed_over:,} files passed over that systems and mail programs keep for themselves")
    for file in account.first_rejected:
        click.echo(f"rejected  {file.name}: {file.detail} ({file.reason})", err=True)
    if account.rejected.total() > len(account.first_rejected):
        every = ", ".join(f"{reason} {count:,}" for reason, count in account.rejected.most_common())
        click.echo(f"rejected in total: {every}", err=True)
    if account.rejected:
        click.echo("`mailposture quarantine list --state rejected` lists them, with their bytes", err=True)
