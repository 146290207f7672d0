"""`mailposture summary`: the answer in the terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from cli.csv_cells import lines
from cli.database import database
from cli.options import domain_of, with_config
from mailposture.quoting import printable
from reports.causes import Severity
from reports.dmarc import summary as dmarc_summary
from reports.kinds import counted
from reports.rates import percent
from reports.tls.summary import DomainSummary, Share, summarize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mailposture.config.model import Config
    from reports.attention import Needed
    from reports.dmarc.summary import DmarcSummary

_SEVERITIES = {Severity.CRITICAL: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


@click.command()
@with_config
@click.option("--domain", help="Only this domain of the configuration.")
@click.option("--days", type=click.IntRange(1, 10_000), default=30, show_default=True, help="Report days to look back.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def command(config: Config, domain: str | None, days: int, form: str) -> None:
    """Per domain: success rate and trend, why sessions failed, where and seen by whom, and what needs attention now.

    Below, what DMARC reports say about mail from the domain: how much of your own mail passed, which senders of yours
    fail, and who else uses the name, perhaps forging it.

    Sessions are counted by report day (UTC), over the last complete days, which end with yesterday. The trend compares
    with as many days before, in percentage points. What needs attention is what alerts fire for, whatever the days.
    """
    only = domain_of(config, domain) if domain else None
    with database(config, user=config.clickhouse.analyst_user) as client:
        summaries = summarize(client, days=days, domain=only)
        dmarc = dmarc_summary.summarize(client, days=days, domain=only)
    if form == "json":
        records = [{**as_record(summary), "dmarc": _dmarc(dmarc.get(summary.policy_domain))} for summary in summaries]
        json.dump(records, sys.stdout, indent=2)
        click.echo()
    elif form == "csv":
        _write_csv(summaries, dmarc)
    else:
        console = Console(highlight=False)
        console.print(as_text(summaries, dmarc, days=days))


def as_record(summary: DomainSummary) -> dict[str, Any]:
    """A summary as JSON types; rates are shares from 0 to 1."""

    def named(shares: tuple[Share, ...]) -> list[dict[str, Any]]:
        return [{"name": share.name, "failed_sessions": share.sessions} for share in shares]

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
        "attention": [_needed(needed) for needed in summary.attention],
        "parked": summary.parked,
    }


def _needed(needed: Needed) -> dict[str, Any]:
    record = {name: value for name, value in asdict(needed).items() if name != "policy_domain"}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in record.items()}


def _dmarc(summary: DmarcSummary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    return {
        "messages": summary.messages,
        "passed_messages": summary.passed_messages,
        "own_messages": summary.own_messages,
        "unknown_messages": summary.unknown_messages,
        "unknown_delivered_messages": summary.unknown_delivered,
        "quarantined_messages": summary.quarantined_messages,
        "rejected_messages": summary.rejected_messages,
        "pass_rate": summary.pass_rate,
        "trend": summary.trend,
        "policy": summary.policy,
        "last_report_day": summary.last_report_day.isoformat(),
        "failing": [source._asdict() for source in summary.failing],
        "unknown": [source._asdict() for source in summary.unknown],
    }


def _write_csv(summaries: list[DomainSummary], dmarc: Mapping[str, DmarcSummary]) -> None:
    records = [
        {
            **as_record(summary),
            "attention": [{"cause": needed.cause, "severity": needed.severity} for needed in summary.attention],
            "dmarc_messages": known.messages if (known := dmarc.get(summary.policy_domain)) else 0,
            "dmarc_passed_messages": known.passed_messages if known else 0,
            "dmarc_own_messages": known.own_messages if known else 0,
        }
        for summary in summaries
    ]
    head = list(records[0]) if records else ["policy_domain"]
    rows = ([_listed(value) if isinstance(value, list) else value for value in record.values()] for record in records)
    sys.stdout.writelines(lines([head, *rows]))


def _listed(shares: list[dict[str, Any]]) -> str:
    """Names and what belongs to them, in one cell."""
    return ";".join("=".join(str(value) for value in share.values()) for share in shares)


def as_text(
    summaries: list[DomainSummary], dmarc: Mapping[str, DmarcSummary] = MappingProxyType({}), *, days: int
) -> Text:
    """Mail to our domains, then mail from them, for a terminal; each cause beside the mail that it is about."""
    text = _tls_as_text(summaries, dmarc, days=days)
    if dmarc:
        text.append("\n\n")
        text.append(
            dmarc_as_text(dmarc, days=days, attention={each.policy_domain: each.attention for each in summaries})
        )
    needed = [each for summary in summaries for each in summary.attention]
    if not any(each.waits for each in needed) and (dmarc or any(summary.sessions for summary in summaries)):
        but = " but what is for information or acknowledged" if needed else ""
        text.append("\n\n" if dmarc else "\n")
        text.append(f"All good: nothing needs attention{but}.", style="green not bold")
    return text


def _tls_as_text(summaries: list[DomainSummary], dmarc: Mapping[str, DmarcSummary], *, days: int) -> Text:
    """Mail to our domains for 80 columns, the domain that needs attention most first."""
    text = Text(f"TLS to our domains, last {days} report days\n", style="bold")
    shown = [each for each in summaries if not _is_quiet(each)] if len(summaries) > 1 else summaries
    width = max([len("domain"), *(len(summary.policy_domain) for summary in shown)])
    text.append(f"{'domain':{width}}  {'sessions':>11}  {'with TLS':>10}  {'trend':>7}  last report\n", style="dim")
    for summary in shown:
        rate, trend = summary.success_rate, summary.trend
        waits = any(needed.waits for needed in summary.attention)
        style = "red" if waits else "dim" if rate is None else "green"
        text.append(f"{summary.policy_domain:{width}}  {summary.sessions:>11,}  ", style="not bold")
        without = "parked" if summary.parked else "no reports"
        text.append(f"{without if rate is None else percent(rate):>10}", style=f"{style} not bold")
        changed = "" if trend is None else f"{trend * 100:+.2f}"
        reported = "none that counts"
        never = "none expected" if summary.parked else reported
        text.append(f"  {changed:>7}  {summary.last_report_day or never}\n", style="not bold")
        for label, shares in (
            ("why", summary.categories),
            ("at", summary.receiving_servers),
            ("seen by", summary.senders),
        ):
            if shares:
                named = " · ".join(f"{share.name} {share.sessions:,}" for share in shares)
                text.append(f"    {label:7}  {named}\n", style="not bold")
        about_mail_from = summary.policy_domain in dmarc  # what that is about stands there
        _add_attention(text, [each for each in summary.attention if not (about_mail_from and each.kind == "dmarc")])
    if quiet := len(summaries) - len(shown):
        named = "1 parked domain" if quiet == 1 else f"{quiet:,} parked domains"
        text.append(f"and {named}, to which no mail came, as expected\n", style="dim not bold")
    text.rstrip()
    return text


def _is_quiet(summary: DomainSummary) -> bool:
    """Of a parked domain, of which there may be thousands, nothing is to be said."""
    return summary.parked and not summary.sessions and not summary.attention


def dmarc_as_text(
    summaries: Mapping[str, DmarcSummary],
    *,
    days: int,
    attention: Mapping[str, Sequence[Needed]] = MappingProxyType({}),
) -> Text:
    """What receivers say about mail from our domains, for 80 columns, the most own mail that failed first."""
    text = Text(f"Mail from our domains, last {days} report days\n", style="bold")
    width = max([len("domain"), *map(len, summaries)])
    head = f"{'domain':{width}}  {'own mail':>11}  {'DMARC pass':>10}  {'trend':>7}  {'policy':10}  last report\n"
    text.append(head, style="dim")
    for summary in sorted(
        summaries.values(), key=lambda each: (each.passed_messages - each.own_messages, each.policy_domain)
    ):
        rate, trend = summary.pass_rate, summary.trend
        text.append(f"{summary.policy_domain:{width}}  {summary.own_messages:>11,}  ", style="not bold")
        text.append(f"{'no mail' if rate is None else percent(rate):>10}", style="not bold")
        changed = "" if trend is None else f"{trend * 100:+.2f}"
        text.append(f"  {changed:>7}  {summary.policy:10}  {summary.last_report_day}\n", style="not bold")
        for each in summary.failing:
            text.append("    failing  ", style="red")
            text.append(f"{printable(each.name)} {each.messages:,} ({each.reason})\n", style="not bold")
        if summary.unknown_messages:
            blocked = summary.unknown_messages - summary.unknown_delivered
            named = " · ".join(f"{printable(each.name)} {each.messages:,}" for each in summary.unknown)
            text.append(
                f"    unknown  {summary.unknown_messages:,}, perhaps forged: {blocked:,} quarantined or rejected, "
            )
            text.append(f"{summary.unknown_delivered:,} delivered\n             {named}\n", style="not bold")
        _add_attention(text, [each for each in attention.get(summary.policy_domain, ()) if each.kind == "dmarc"])
    text.rstrip()
    return text


def _add_attention(text: Text, attention: Sequence[Needed]) -> None:
    for needed in attention:
        text.append(f"    {needed.severity:8} ", style=_SEVERITIES[needed.severity])
        text.append(f"{_in_words(needed)}\n", style="dim" if needed.acknowledged else "not bold")


def _in_words(needed: Needed) -> str:
    about = f" ({needed.subject})" if needed.subject else ""
    number = f": {needed.affected:,} of {needed.of:,} {counted(needed.kind)}" if needed.of else ""
    since = f" since {needed.since}" if needed.since else ""
    known = (
        f"; acknowledged until {needed.acknowledged_until}: {printable(needed.acknowledged_because)}"
        if needed.acknowledged
        else ""
    )
    return f"{needed.title}{about}{number}{since}{known}"
