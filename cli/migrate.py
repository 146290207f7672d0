"""`mailposture migrate`: bring the database to the schema of this version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import with_config
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import use_or_start
from mailposture.clickhouse.migrate import pending
from reports.prepare import prepare
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from mailposture.config.model import Config


@click.command()
@with_config
@click.option("--dry-run", is_flag=True, help="Print the SQL that would be run, and run nothing.")
def command(config: Config, dry_run: bool) -> None:
    """Apply the numbered migrations that the database does not have yet. Services do the same when they start."""
    with use_or_start(config) as access:
        client = connect(config, user=config.clickhouse.collector_user, endpoint=access.endpoint)
        steps = pending(client, config, SCHEMA_GROUPS)
        if not steps:
            click.echo("-- the database has the schema of this version" if dry_run else "nothing to do")
        for step in steps:
            click.echo(f"-- {step.name}\n{step.sql};\n" if dry_run else step.name)
        if not dry_run:
            prepare(client, config)
