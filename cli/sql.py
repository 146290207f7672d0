"""`mailposture sql`: ask ClickHouse, read-only."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click
from clickhouse_connect.driver.exceptions import ClickHouseError

from cli.database import database
from cli.options import FAILED, with_config
from mailposture.quoting import printable

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config import Config

with contextlib.suppress(ImportError):
    import readline  # noqa: F401  gives input() a history and editing


@click.command()
@with_config
@click.argument("query", required=False)
@click.option(
    "--format",
    "form",
    default="TabSeparated",
    show_default=True,
    help="Any output format of ClickHouse: TabSeparatedWithNames, JSON, CSVWithNames, PrettyCompact, Vertical …",
)
def command(config: Config, query: str | None, form: str) -> None:
    """Run one QUERY, from standard input if that is no terminal, or open a prompt. The user may only read.

    \b
    Examples:
      mailposture sql "SELECT * FROM tls_domain_daily ORDER BY day"
      mailposture sql --format PrettyCompact "SHOW TABLES"
      mailposture sql "DESCRIBE tls_failures_daily"
    """
    if query is None and not sys.stdin.isatty():
        query = sys.stdin.read()
    if query is not None and not query.strip(" \t\r\n;"):
        raise click.UsageError("the query is empty")
    with database(config, user=config.clickhouse.analyst_user) as client:
        if query is not None:
            sys.exit(_run(client, query, form))
        _prompt(client, form if form != "TabSeparated" else "PrettyCompact")


def _run(client: Client, query: str, form: str) -> int:
    try:
        answer = client.raw_query(query.strip().rstrip(";"), fmt=form)
    except ClickHouseError as error:
        click.echo(f"mailposture: {str(error).strip()}", err=True)
        return FAILED
    if sys.stdout.isatty():  # originals of reports may hold what a terminal acts on; a file gets them as they are
        click.echo(printable(answer.decode("utf-8", "backslashreplace")), nl=False)
    else:
        sys.stdout.buffer.write(answer)
        sys.stdout.flush()
    return 0


def _prompt(client: Client, form: str) -> None:
    click.echo("Read-only SQL; SHOW TABLES lists the views, DESCRIBE explains their columns, Ctrl-D ends.", err=True)
    while True:
        try:
            query = input("mailposture> ").strip()
        except (EOFError, KeyboardInterrupt):
            click.echo(err=True)
            return
        if query:
            _run(client, query, form)
