"""`mailposture summary`: the answer in the terminal."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.database import database
from cli.options import domain_of, with_config
from mailposture.config import Config
from mailposture.summary import DomainSummary, Share, summarize


@click.command()
@with_config
@click.option("--domain", help="Only this domain of the configuration.")
@click.option("--days", type=click.IntRange(1, 400), default=30, show_default=True, help="Report days to look back.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(config: Config, domain: str | None, days: int, form: str) -> None:
    """Per domain: success rate and trend, why sessions failed, at which of our servers, and which senders saw it.

    Sessions are counted by report day (UTC). The trend compares with as many days before, in percentage points.
    """
    only = domain_of(config, domain) if domain else None
    with database(config, user=config.clickhouse.analyst_user) as client:
        summaries = summarize(client, days=days, domain=only)
    if form == "json":
        json.dump([as_record(summary) for summary in summaries], sys.stdout, indent=2)
        click.echo()
    elif form == "csv":
        _write_csv(summaries)
    else:
        Console(highlight=False).print(as_table(summaries, days=days))


def as_record(summary: DomainSummary) -> dict[str, Any]:
    """A summary as JSON types; rates are shares from 0 to 1."""

    def named(shares: tuple[Share, ...]) -> list[dict[str, Any]]:
        return [{"name": share.name, "failed_sessions": share.failed_sessions} for share in shares]

    return {
        "policy_domain": summary.policy_domain,
        "successful_sessions": summary.successful_sessions,
        "failed_sessions": summary.failed_sessions,
        "success_rate": summary.success_rate,
        "trend": summary.trend,
        "last_report_day": summary.last_report_day.isoformat() if summary.last_report_day else None,
        "categories": named(summary.categories),
        "receiving_servers": named(summary.receiving_servers),
        "senders": named(summary.senders),
    }


def _write_csv(summaries: list[DomainSummary]) -> None:
    records = [as_record(summary) for summary in summaries]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(records[0] if records else ["policy_domain"])
    for record in records:
        writer.writerow(
            ";".join(f"{share['name']}={share['failed_sessions']}" for share in value) if isinstance(value, list) else value
            for value in record.values()
        )


def as_table(summaries: list[DomainSummary], *, days: int) -> Table:
    """A table for the terminal, the domain that needs attention most first."""
    table = Table(title=f"TLS to our domains, last {days} report days", title_justify="left", title_style="bold", box=None)
    table.add_column("domain", no_wrap=True)
    for heading in ("sessions", "with TLS", "trend"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("why sessions failed", "at", "seen by"):
        table.add_column(heading)
    table.add_column("last report", no_wrap=True)
    for summary in summaries:
        rate = summary.success_rate
        style = "dim" if rate is None else "green" if not summary.failed_sessions else "yellow" if rate > 0.99 else "red"
        table.add_row(
            summary.policy_domain,
            f"{summary.sessions:,}",
            Text("no reports" if rate is None else _percent(rate), style=style),
            "" if summary.trend is None else f"{summary.trend * 100:+.2f}",
            _listed(summary.categories) or ("all good" if summary.sessions else ""),
            _listed(summary.receiving_servers),
            _listed(summary.senders),
            str(summary.last_report_day or "never"),
        )
    return table


def _percent(rate: float) -> str:
    """Two decimals, and never 100 % where anything failed."""
    return "100 %" if rate == 1 else f"{min(rate * 100, 99.99):.2f} %"


def _listed(shares: tuple[Share, ...]) -> Text:
    """Names and counts, one a line; names come from reports, so they are text, never markup."""
    return Text("\n".join(f"{share.name} {share.failed_sessions:,}" for share in shares))
