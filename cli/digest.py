"""`mailposture digest`: the weekly digest, printed or mailed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from cli.database import database
from cli.options import domain_of, with_config
from exporter.digests.delivery import connected, hand_over
from reports.digest.html import as_html
from reports.digest.json import as_json
from reports.digest.mail import as_mail
from reports.digest.page import page
from reports.digest.reading import read_digest
from reports.digest.text import as_text
from reports.digest.week import Week

if TYPE_CHECKING:
    from email.message import EmailMessage

    from clickhouse_connect.driver import Client

    from mailposture.config.digest import Digest
    from mailposture.config.model import Config


_SENDER: Final = "mailposture@localhost"  # where nothing is configured


class _WeekType(click.ParamType[Week]):
    name = "week"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Week:
        try:
            return Week.of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@with_config
@click.option("--week", type=_WeekType(), metavar="YYYY-Www", help="A calendar week; else the last seven report days.")
@click.option("--team", help="Only the domains of this team.")
@click.option("--domain", help="Only this domain.")
@click.option("--format", "form", type=click.Choice(["text", "html", "eml", "json"]), default="text", show_default=True)
@click.option("--send", is_flag=True, help="Mail it now, to those of `digest:` in the configuration.")
def command(config: Config, week: Week | None, team: str | None, domain: str | None, form: str, *, send: bool) -> None:
    """Print whether everything is all right, what changed against the week before, and what to do.

    It is about seven complete report days (UTC). What needs attention is as of their end, and is what alerts fire for.
    """
    scope, domains = _scope(config, team, domain)
    settings = config.digest
    if send and settings is None:
        raise click.UsageError("--send needs a section `digest:` in the configuration (docs/digest.md)")
    recipients = _recipients(settings, team) if settings else ()
    with database(config, user=config.clickhouse.analyst_user) as client:
        newest = _last_days(client)
        if week is not None and week.end > newest.end:
            raise click.BadParameter(f"week {week.name} is not over yet, in UTC", param_hint="--week")
        digest = read_digest(client, week or newest, domains=domains, scope=scope)
    shown = page(digest, grafana_url=(settings.grafana_url or "") if settings else "")
    sender = settings.sender if settings else _SENDER
    mail = as_mail(shown, digest.week, sender=sender, recipients=recipients, sent_at=datetime.now(UTC))
    if send and settings:
        _send(settings, mail, recipients)
        return
    if form == "text":
        click.echo(as_text(shown), nl=False)
    elif form == "html":
        click.echo(as_html(shown), nl=False)
    elif form == "eml":
        click.echo(mail.as_bytes(), nl=False)
    else:
        click.echo(as_json(digest))


def _scope(config: Config, team: str | None, domain: str | None) -> tuple[str, frozenset[str] | None]:
    """What the domains are called, and which they are; None: all."""
    if team and domain:
        raise click.UsageError("--team and --domain are two ways to choose domains; give one of them")
    if domain:
        name = domain_of(config, domain)
        return name, frozenset({name})
    if team:
        found = frozenset(each.name for each in config.domains if each.team == team)
        if not found:
            teams = ", ".join(sorted({each.team for each in config.domains}))
            raise click.BadParameter(f"no domain of the configuration is of that team ({teams})", param_hint="--team")
        return f"team {team}", found
    return "", None


def _recipients(settings: Digest, team: str | None) -> tuple[str, ...]:
    """Those of the team, if it is its digest; else those who get the digest of all domains."""
    return settings.teams.get(team, ()) if team else settings.recipients


def _send(settings: Digest, mail: EmailMessage, recipients: tuple[str, ...]) -> None:
    """Raises ProblemError."""
    if not recipients:
        raise click.UsageError("the configuration names no recipients of this digest: see `digest:` (docs/digest.md)")
    with connected(settings.smtp) as session:
        for recipient in recipients:
            hand_over(session, mail.as_bytes(), sender=settings.sender, recipient=recipient)
            click.echo(f"Handed to {settings.smtp.host} for {recipient}.")


def _last_days(client: Client) -> Week:
    ((today,),) = client.query("SELECT today FROM clock").result_rows
    return Week(today)
