"""`mailposture sql`: ask ClickHouse, read-only unless a person wants otherwise."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from typing import IO, TYPE_CHECKING, cast

import click
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from urllib3.exceptions import HTTPError

from cli.csv_cells import guard
from cli.database import database
from cli.exit_codes import DONE, FAILED, WRONG_USAGE
from cli.options import with_config
from cli.sql_faults import explain, is_about_format
from mailposture.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver import Client
    from urllib3 import BaseHTTPResponse

    from mailposture.config.model import Config

with contextlib.suppress(ImportError):
    import readline  # noqa: F401  gives input() a history and editing

_PIECE = 64 * 1024


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
@click.option(
    "--as-collector",
    is_flag=True,
    help="As the user who owns the tables (database mailposture_tables) and may change them.",
)
def command(config: Config, query: str | None, form: str, *, as_collector: bool) -> None:
    """Run one QUERY, from standard input if that is no terminal, or open a prompt. Reads views, and changes nothing.

    \b
    Examples:
      mailposture sql "SELECT * FROM tls_domain_daily ORDER BY day"
      mailposture sql --format PrettyCompact "SHOW TABLES"
      mailposture sql "DESCRIBE tls_failures_daily"
    """
    if query is not None:
        query = _text(os.fsencode(query))
    elif not sys.stdin.isatty():
        query = _text(sys.stdin.buffer.read())
    if query is not None and not query.strip(" \t\r\n;"):
        raise click.UsageError("the query is empty")
    names = config.clickhouse
    with database(config, user=names.collector_user if as_collector else names.analyst_user) as client:
        if query is not None:
            sys.exit(_run(client, query, form))
        writing = f"SQL that may change everything, with the tables in {names.tables_database}"
        rights = writing if as_collector else "Read-only SQL"
        _prompt(client, form if form != "TabSeparated" else "PrettyCompact", rights)


def _text(query: bytes) -> str:
    try:
        return query.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the query is not UTF-8 text (byte {error.start})") from None


def _run(client: Client, query: str, form: str) -> int:
    # The format is no part of the query: one that the query names itself wins, and errors quote what was typed. The
    # whole answer waits at the server, so that an error comes instead of rows, not after some; here it only passes by.
    settings = {"default_format": form, "wait_end_of_query": "1"}
    try:
        answer = cast("BaseHTTPResponse", client.raw_stream(query, settings=settings))
    except ClickHouseError as error:
        if getattr(error, "code", None) is None:  # not about the query: nothing answers
            raise
        click.echo(f"mailposture: {explain(error)}", err=True)
        return WRONG_USAGE if is_about_format(error) else FAILED
    try:
        _pass_on(answer)
    except HTTPError as error:
        raise OperationalError(f"the answer broke off: {error}") from error
    return DONE


def _pass_on(answer: BaseHTTPResponse) -> None:
    # The header, because a format that the query names wins. CSV is what spreadsheets open, and they run formulas.
    pieces: Iterator[bytes]
    if answer.headers.get("X-ClickHouse-Format", "").startswith("CSV"):
        pieces = (line.encode("utf-8", "surrogateescape") for line in guard(cast("IO[bytes]", answer)))
    else:
        pieces = iter(lambda: answer.read(_PIECE), b"")
    if sys.stdout.isatty():  # originals of reports may hold what a terminal acts on; a file gets them as they are
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        for piece in pieces:
            click.echo(printable(decoder.decode(piece)), nl=False)
    else:
        sys.stdout.buffer.writelines(pieces)
        sys.stdout.flush()


def _prompt(client: Client, form: str, rights: str) -> None:
    click.echo(f"{rights}; SHOW TABLES lists the views, DESCRIBE explains their columns, exit ends.", err=True)
    while True:
        try:
            query = input("mailposture> ").strip()
        except (EOFError, KeyboardInterrupt):
            click.echo(err=True)
            return
        if query.rstrip(";").lower() in ("exit", "quit"):
            return
        if query:
            try:
                _run(client, _text(os.fsencode(query)), form)
            except KeyboardInterrupt:  # who waits no longer may ask for less
                click.echo(err=True)
            except click.UsageError as error:
                click.echo(f"mailposture: {error.message}", err=True)
