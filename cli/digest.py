"""`mailposture digest`: the weekly digest, printed or mailed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from cli.database import database
from cli.options import domain_of, with_config
from exporter.digests.delivery import DeliveryError, connected, hand_over
from exporter.digests.record import Sent, note_sent
from mailposture.clickhouse.clock import today
from mailposture.config.scope import EVERY_DOMAIN, of_domain, of_team
from reports.digest.html import as_html
from reports.digest.json import as_json
from reports.digest.mail import as_mail
from reports.digest.page import page
from reports.digest.reading import read_digest
from reports.digest.text import as_text
from reports.digest.week import Week

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage

    from mailposture.config.digest import Digest
    from mailposture.config.model import Config
    from mailposture.config.scope import Scope


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

    --send mails it whether it was mailed before or not. Who gets it so is not sent the digest of the same seven days
    once more when it is due.
    """
    scope = _scope(config, team, domain)
    settings = config.digest
    if send and settings is None:
        raise click.UsageError("--send needs a section `digest:` in the configuration (docs/digest.md)")
    recipients = _recipients(settings, team) if settings else ()
    clickhouse = config.clickhouse
    with database(config, user=clickhouse.exporter_user if send else clickhouse.analyst_user) as client:
        newest = Week(today(client))
        if week is not None and week.end > newest.end:
            raise click.BadParameter(f"week {week.name} is not over yet, in UTC", param_hint="--week")
        digest = read_digest(client, week or newest, domains=scope.domains, scope=scope.title)
        shown = page(digest, grafana_url=(settings.grafana_url or "") if settings else "")
        sender = settings.sender if settings else _SENDER
        mail = as_mail(shown, digest.week, sender=sender, recipients=recipients, sent_at=datetime.now(UTC))
        if send and settings:
            for recipient in _send(settings, mail, recipients):
                if not domain:  # no digest of one domain is ever due
                    sent = Sent(digest.week, scope.team, recipient, mail["Message-ID"], datetime.now(UTC))
                    note_sent(client, config, sent)
            return
    if form == "text":
        click.echo(as_text(shown), nl=False)
    elif form == "html":
        click.echo(as_html(shown), nl=False)
    elif form == "eml":
        click.echo(mail.as_bytes(), nl=False)
    else:
        click.echo(as_json(digest))


def _scope(config: Config, team: str | None, domain: str | None) -> Scope:
    if team and domain:
        raise click.UsageError("--team and --domain are two ways to choose domains; give one of them")
    if domain:
        return of_domain(domain_of(config, domain))
    if team:
        found = of_team(config, team)
        if not found.domains:
            teams = ", ".join(sorted({each.team for each in config.domains}))
            raise click.BadParameter(f"no domain of the configuration is of that team ({teams})", param_hint="--team")
        return found
    return EVERY_DOMAIN


def _recipients(settings: Digest, team: str | None) -> tuple[str, ...]:
    """Those of the team, if it is its digest; else those who get the digest of all domains."""
    return settings.teams.get(team, ()) if team else settings.recipients


def _send(settings: Digest, mail: EmailMessage, recipients: tuple[str, ...]) -> Iterator[str]:
    """Those for whom the mail server has accepted it; of the others it is said in the end. Raises ProblemError."""
    if not recipients:
        raise click.UsageError("the configuration names no recipients of this digest: see `digest:` (docs/digest.md)")
    refused = []
    with connected(settings.smtp) as session:
        for recipient in recipients:
            try:
                hand_over(session, mail.as_bytes(), sender=settings.sender, recipient=recipient)
            except DeliveryError as error:
                refused.append(str(error))
            else:
                click.echo(f"Handed to {settings.smtp.host} for {recipient}.")
                yield recipient
    if refused:
        raise DeliveryError("; ".join(refused))
