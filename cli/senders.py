"""`mailposture senders`: who sends mail in our name, and what to do about each."""

from __future__ import annotations

import json
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import click

from cli.database import database
from cli.options import domain_of, with_config
from mailposture.quoting import printable, quoted
from reports.dmarc.sources import OneSource, read_senders, read_source
from reports.rates import percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mailposture.config.model import Config
    from reports.dmarc.sources import Senders, Sending

_COLOURS: Final = {"ours-failing": "red", "unknown": "yellow", "forwarded": "cyan", "aligned": "green"}
_STATES: Final = {
    "ours-failing": "a sender of yours fails",
    "possibly-ours": "possibly yours",
    "keeps-coming": "unknown, and comes back",
}
_WIDTH: Final = 100


@click.command()
@with_config
@click.argument("domain")
@click.argument("source", required=False)
@click.option("--days", type=click.IntRange(1, 10_000), default=30, show_default=True, help="Report days to look back.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(config: Config, domain: str, source: str | None, days: int, form: str) -> None:
    """Show who sends mail in the name of DOMAIN, by pile, and what to do about those that fail.

    With SOURCE, a name from that list: why its mail fails, what to do, and its addresses. As DMARC reports of the last
    complete report days say, which end with yesterday; the dashboards DMARC domain and DMARC source ask the same.

    \b
    Examples:
      mailposture senders example.com
      mailposture senders example.com Mailchimp
    """
    ours = domain_of(config, domain)
    with database(config, user=config.clickhouse.analyst_user) as client:
        found = read_source(client, ours, source, days=days) if source else read_senders(client, ours, days=days)
    if found is None:
        raise click.BadParameter(
            f"{quoted(source or '')} sent nothing in the name of {ours} in the last {days} report days; "
            f"`mailposture senders {ours}` lists who did",
            param_hint="SOURCE",
        )
    if form == "json":
        click.echo(json.dumps(_as_json(found), indent=2, default=str))
    else:
        click.echo(of_source(found, days=days) if isinstance(found, OneSource) else of_domain(found, days=days))


def _as_json(found: Senders | OneSource) -> dict[str, Any]:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return {
        name: [row._asdict() for row in value] if isinstance(value, tuple) else value for name, value in values.items()
    }


def of_domain(senders: Senders, *, days: int) -> str:
    """All sources, then what to do about those that fail."""
    lines = [click.style(f"Who sends in the name of {senders.policy_domain}, last {days} report days", bold=True)]
    if not senders.sources:
        nobody = "Nobody, as far as DMARC reports say."
        still = "Reports are stored, and still being sorted by who sent the mail: ask again in a minute."
        return "\n".join([*lines, nobody if senders.are_sorted else still])
    lines += _table(senders.sources)
    if not senders.to_do:
        nothing = "Nothing to do: every sender of yours passes, and no unknown sender looks like yours."
        return "\n".join([*lines, "", nothing])
    lines += ["", click.style("What to do", bold=True)]
    for each in senders.to_do:
        lines += [f"{printable(each.source)}: {_STATES[each.state]}, {each.failing_messages:,} messages fail"]
        lines += _wrapped(f"{each.title}.", each.action)
    lines += ["", f"`mailposture senders {senders.policy_domain} SOURCE` shows one with all its reasons and addresses."]
    return "\n".join(lines)


def of_source(found: OneSource, *, days: int) -> str:
    """What is wrong with mail of a source, what to do, and its addresses."""
    name = printable(found.source)
    lines = [click.style(f"{name} in the name of {found.policy_domain}, last {days} report days", bold=True)]
    lines += _table(found.sources)
    for sending in found.sources:
        lines += [f"  {sending.pile}: {printable(sending.evidence)}"]
    lines += ["", click.style("What is wrong, and what to do", bold=True)]
    if not found.reasons:
        lines += ["Nothing: all its mail passes DMARC."]
    for each in found.reasons:
        lines += [f"{each.reason}: {each.messages:,} messages ({each.pile}), {each.first_day} to {each.last_day}"]
        lines += _wrapped(f"{each.title}.", each.action)
    lines += ["", click.style("Addresses", bold=True)]
    for address in found.addresses:
        lines += [
            f"{address.messages:>9,}  {address.address:<39}  {address.pile:<12}  {address.header_from}, "
            f"{address.first_day} to {address.last_day}"
        ]
    return "\n".join(lines)


def _table(sources: Iterable[Sending]) -> list[str]:
    lines = [click.style(f"{'messages':>9}  {'DMARC':>7}  {'pile':<12}  {'last day':<10}  source", dim=True)]
    for each in sources:
        pile = click.style(f"{each.pile:<12}", fg=_COLOURS[each.pile])
        lines.append(
            f"{each.messages:>9,}  {percent(each.pass_rate):>7}  {pile}  {each.last_day}  {printable(each.source)}"
        )
    return lines


def _wrapped(*texts: str) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(
            printable(text), _WIDTH, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False
        )
    ]
