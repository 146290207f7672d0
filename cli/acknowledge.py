"""`mailposture acknowledge`: known, or not ours, until a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.database import database
from cli.options import domain_of, with_config
from mailposture.clickhouse.clock import today
from mailposture.quoting import printable
from reports.acknowledging import (
    BY_COMMAND,
    Acknowledgement,
    acknowledge,
    acknowledgements,
    check_acknowledgeable,
    withdraw,
)

if TYPE_CHECKING:
    from datetime import datetime

    from mailposture.config.model import Config


@click.command()
@with_config
@click.argument("domain", required=False)
@click.argument("cause", required=False)
@click.argument("subject", default="")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The day (UTC) from which it counts again.")
@click.option("--because", help="Why, for whoever sees it next.")
@click.option("--withdraw", "withdrawn", is_flag=True, help="Let it count again at once.")
def command(
    config: Config,
    domain: str | None,
    cause: str | None,
    subject: str,
    *,
    until: datetime | None,
    because: str | None,
    withdrawn: bool,
) -> None:
    """Acknowledge a CAUSE of DOMAIN, at SUBJECT (a server, sender or record) or wherever it is.

    It is shown as acknowledged on dashboards and in `mailposture summary`, and alerts nobody until the day comes. A
    refusal of mail is a cause of its own (mail-refused). Without arguments: list what is acknowledged.

    \b
    Examples:
      mailposture acknowledge example.com certificate mx2.example.com --until 2026-12-24 --because "renewed on Monday"
      mailposture acknowledge example.com certificate mx2.example.com --withdraw
    """
    if domain is None:
        _list(config)
        return
    ours = domain_of(config, domain)
    named = _cause(cause, subject)
    with database(config, user=config.clickhouse.collector_user, at_once=True) as client:
        if withdrawn:
            origins = {
                known.origin: known
                for known in acknowledgements(client)
                if (known.policy_domain, known.cause, known.subject) == (ours, named, subject)
            }
            if not origins:
                raise click.UsageError(f"{ours}: {named} is not acknowledged{_at(subject)}")
            if BY_COMMAND not in origins:
                raise click.UsageError(f"{ours}: {named} is acknowledged in the configuration; take it out there")
            withdraw(client, config, origins[BY_COMMAND])
            click.echo(f"{ours}: {named}{_at(subject)} counts again")
            return
        if until is None or not because:
            raise click.UsageError("--until DATE and --because TEXT belong to an acknowledgement")
        if until.date() <= today(client):
            raise click.BadParameter(f"{until:%Y-%m-%d} is over", param_hint="--until")
        known = Acknowledgement(policy_domain=ours, cause=named, subject=subject, until=until.date(), because=because)
        acknowledge(client, config, known)
    click.echo(f"{ours}: {named}{_at(subject)} alerts nobody until {until:%Y-%m-%d}")


def _cause(name: str | None, subject: str) -> str:
    if name is None:
        raise click.UsageError("a CAUSE is missing; `mailposture summary` and `mailposture explain` name them")
    try:
        check_acknowledgeable(name, subject)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return name


def _at(subject: str) -> str:
    return f" at {printable(subject)}" if subject else ""


def _list(config: Config) -> None:
    with database(config, user=config.clickhouse.analyst_user) as client:
        known = acknowledgements(client)
        day = today(client)
    if not known:
        click.echo("nothing is acknowledged")
    for each in known:
        over = " (over)" if each.until <= day else ""
        where = " (configuration)" if each.origin != BY_COMMAND else ""
        click.echo(
            f"{each.policy_domain}: {each.cause}{_at(each.subject)} until {each.until}{over}{where}: "
            f"{printable(each.because)}"
        )
