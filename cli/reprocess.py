"""`mailposture reprocess`: stored reports read again by this release."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.database import database
from cli.exit_codes import DONE, FAILED
from cli.options import with_config
from collector.reprocessing import MOST_SHOWN, Reprocessor

if TYPE_CHECKING:
    from datetime import date

    from mailposture.config.model import Config

_DAY = click.DateTime(formats=["%Y-%m-%d"])


@click.command()
@with_config
@click.option("--from", "first", metavar="DAY", type=_DAY, required=True, help="The first report day, as 2026-10-01.")
@click.option("--to", "last", metavar="DAY", type=_DAY, help="The last one; today, if left out.")
def command(config: Config, first: datetime, last: datetime | None) -> None:
    """Read stored reports again, after a release that classifies failures differently from the one that stored them.

    Their originals are kept for that. Who reports, why it is trusted, which of our domains it is about and when it
    came stay as they are. Reports go on arriving meanwhile; do not import any. It may be ended and run again at any
    time: what is right already is left alone.

    Exit codes: 0 done, 1 some originals cannot be read any more (their rows stay), 2 wrong usage or configuration.
    """
    end = last or datetime.now(UTC)
    if first.date() > end.date():
        raise click.UsageError(f"--from {first:%Y-%m-%d} is after --to {end:%Y-%m-%d}")
    with database(config, user=config.clickhouse.collector_user) as client:
        reprocessor = Reprocessor(client=client, database=config.clickhouse.tables_database)
        left = _run(reprocessor, reprocessor.days(first.date(), end.date()))
    for said in left:
        click.echo(f"left as it was: {said}", err=True)
    sys.exit(FAILED if left else DONE)


def _run(reprocessor: Reprocessor, days: list[date]) -> list[str]:
    """Print a line per month, and show the day on a terminal; return which reports cannot be read (a few), and why."""
    first_unreadable: list[str] = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("reading again", total=len(days))
        for month, of_month in groupby(days, key=lambda day: f"{day:%Y-%m}"):
            reports = changed = unreadable = 0
            for day in of_month:
                progress.update(task, description=str(day))
                for account in reprocessor.run([day]):
                    reports += account.reports
                    changed += account.changed
                    unreadable += account.unreadable
                    first_unreadable = [*first_unreadable, *account.first_unreadable][:MOST_SHOWN]
                progress.advance(task)
            click.echo(f"{month}: {reports:,} reports, {changed:,} changed, {unreadable:,} unreadable")
    return first_unreadable
