"""The one screen that `mailposture run` prints: where everything listens, what to publish, and the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.summary import as_table
from mailposture.dns_records import report_path, tls_rpt_record
from mailposture.summary import summarize

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config import Config

_DAYS = 31
_MOST_RECORDS = 3


def show(console: Console, config: Config, path: Path, *, demo: bool, words: Path | None, client: Client) -> None:
    """Print the screen."""
    console.print()
    if demo:
        console.print(
            Text(
                "mailposture runs a DEMO: made-up reports about made-up domains. For yours: "
                "mailposture init . --domain example.com",
                style="bold yellow",
            )
        )
    else:
        console.print(Text(f"mailposture runs with {path}", style="bold"))
    console.print()
    console.print(_listeners(config, words))
    console.print(_records(config))
    console.print(as_table(summarize(client, days=_DAYS), days=_DAYS))
    console.print()
    console.print("Ask further:  mailposture summary · mailposture sql · mailposture explain · mailposture quarantine list")
    console.print("Stop: Ctrl-C")


def _listeners(config: Config, words: Path | None) -> Table:
    table = _plain_table()
    if config.smtp.listen:
        table.add_row("Reports by mail", f"smtp://{config.smtp.listen}", _accepted(config))
    if config.smtp.lmtp:
        table.add_row("", f"lmtp://{config.smtp.lmtp}", "")
    if config.https.listen:
        scheme = "https" if config.https.tls else "http"
        table.add_row("Reports by POST", f"{scheme}://{config.https.listen}", f"path {report_path('<token of the domain>')}")
    table.add_row("Metrics", f"http://{config.metrics.collector}/metrics", f"http://{config.metrics.exporter}/metrics")
    clickhouse = config.clickhouse
    if clickhouse.url:
        table.add_row("SQL", clickhouse.url, f"database {clickhouse.database}")
    else:
        password = config.data / "engine" / "passwords" / clickhouse.grafana_user
        table.add_row("SQL", f"http://{clickhouse.http}", f"native {clickhouse.native}, database {clickhouse.database}")
        table.add_row("Your Grafana", f"user {clickhouse.grafana_user}", f"password in {password}")
        table.add_row("", "add the data sources and dashboards/", "as docs/existing-grafana.md says, in five minutes")
    if words:
        table.add_row("Log", str(words), "")
    return table


def _accepted(config: Config) -> str:
    addresses = sorted(config.accepted_recipients())
    more = f" and {len(addresses) - _MOST_RECORDS} more" if len(addresses) > _MOST_RECORDS else ""
    return f"for {', '.join(addresses[:_MOST_RECORDS])}{more}"


def _records(config: Config) -> Table:
    """The records that ask the world for reports (RFC 8460, section 3)."""
    table = _plain_table()
    for domain in config.domains[:_MOST_RECORDS]:
        record = tls_rpt_record(config, domain)
        table.add_row("Publish in DNS" if domain is config.domains[0] else "", f'{record.name}. IN TXT "{record.value}"')
    if len(config.domains) > _MOST_RECORDS:
        table.add_row("", f"and {len(config.domains) - _MOST_RECORDS} more: mailposture records DOMAIN")
    return table


def _plain_table() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    return table
