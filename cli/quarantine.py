"""`mailposture quarantine`: messages that are held: quarantined or rejected."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.options import FAILED, named_domain, with_config
from collector.alignment import is_by
from collector.spool import HeldMessage, HeldMessages, HeldState, NotHeldError
from mailposture.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailposture.config.model import Config

_ALL = 1_000_000  # far more than spool.held_size has room for
_STATES = {"quarantined": HeldState.QUARANTINED, "rejected": HeldState.REJECTED, "all": None}


@click.group()
def command() -> None:
    """List, show, release, discard or judge again what is held.

    Reports that are not authenticated are quarantined: anyone can mail a forged report. Messages without a usable
    report are rejected, and kept too. Both are dropped after spool.held_for, or when they take more than
    spool.held_size; then whoever sent most loses first. IDs may be shortened to an unambiguous beginning.
    """


def _held(config: Config) -> HeldMessages:
    return HeldMessages(config.data / "spool", rules=config.spool)


@command.command(name="list")
@with_config
@click.option("--state", type=click.Choice(list(_STATES)), default="quarantined", show_default=True)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="At most this many, the newest.")
def list_(config: Config, state: str, limit: int) -> None:
    """List what is held, the newest first."""
    messages = _held(config).list(_STATES[state], limit=limit)
    if not messages:
        click.echo("nothing is held" if state == "all" else f"nothing is {state}")
        return
    table = Table(box=None, title=f"{len(messages)} held", title_justify="left")
    for heading in ("id", "received", "from", "why"):
        table.add_column(heading, no_wrap=heading == "id")
    for message in messages:
        envelope = message.envelope
        table.add_row(
            message.id,
            f"{envelope.received_at:%Y-%m-%d %H:%M}",
            Text(printable(envelope.mail_from or envelope.name or envelope.peer or envelope.source)),
            Text(f"{message.reason}: {message.detail}"),
        )
    Console(highlight=False).print(table)


@command.command()
@with_config
@click.argument("held_id", metavar="ID")
@click.option("--bytes", "raw", is_flag=True, help="Print the message as it was received, and nothing else.")
def show(config: Config, held_id: str, raw: bool) -> None:
    """Show one message: where it came from, why it is held, and what is in it."""
    with _told():
        message, body = _held(config).get(held_id)
    if raw:
        sys.stdout.buffer.write(body)
        return
    envelope = message.envelope
    for label, value in (
        ("id", message.id),
        ("state", message.state),
        ("reason", f"{message.reason}: {message.detail}"),
        ("received", envelope.received_at.isoformat()),
        ("source", f"{envelope.source} {envelope.name}".strip()),
        ("peer", envelope.peer),
        ("mail from", envelope.mail_from),
        ("recipients", ", ".join(envelope.recipients)),
        ("size", f"{message.size:,} bytes"),
    ):
        if value:
            click.echo(f"{label + ':':12} {printable(str(value))}")
    click.echo()
    click.echo(printable(body[:4000].decode("utf-8", "replace")))
    if len(body) > 4000:
        click.echo(f"… {len(body) - 4000:,} more bytes; --bytes prints all")


@command.command()
@with_config
@click.argument("held_ids", metavar="ID...", nargs=-1, required=True)
def release(config: Config, held_ids: tuple[str, ...]) -> None:
    """Accept messages on your word: they are read again, and stored with trust `operator`."""
    held = _held(config)
    for held_id in held_ids:
        with _told():
            held.release(held_id)
        click.echo(f"{held_id}: released; a running collector stores it within seconds, else the next one to start")


@command.command(name="judge-again")
@with_config
@click.argument("held_ids", metavar="[ID]...", nargs=-1)
@click.option("--reason", help="All that is held for this reason, as in `list`.")
@click.option("--from", "author", metavar="DOMAIN", help="All whose From field is of this domain.")
def judge_again(config: Config, held_ids: tuple[str, ...], reason: str | None, author: str | None) -> None:
    """Judge messages again by today's rules: IDs, or those with a reason, from a domain, or both.

    For what an upgrade can read now, what DNS answers for by now, and what is from a domain that was written into
    authentication.accepted_authors. Nothing is accepted on your word: what is still unauthenticated is quarantined
    again, and what still holds no report is rejected again.
    """
    held = _held(config)
    if bool(held_ids) is bool(reason or author):
        raise click.UsageError("name IDs, or choose by --reason and --from")
    domain = named_domain(author) if author else None
    chosen = held_ids or [message.id for message in _chosen(held, reason, domain)]
    for held_id in chosen:
        with _told():
            held.put_back(held_id)
    click.echo(f"{len(chosen)} to be judged again; a running collector does so within seconds, else the next to start")


def _chosen(held: HeldMessages, reason: str | None, domain: str | None) -> Iterator[HeldMessage]:
    """What is held for a reason, and from a domain."""
    for message in held.list(limit=_ALL):
        if reason not in (None, message.reason):
            continue
        with suppress(NotHeldError):  # it had to make room meanwhile
            if domain is None or is_by((domain,), held.get(message.id)[1]):
                yield message


@command.command()
@with_config
@click.argument("held_ids", metavar="ID...", nargs=-1, required=True)
def discard(config: Config, held_ids: tuple[str, ...]) -> None:
    """Delete messages for good."""
    held = _held(config)
    for held_id in held_ids:
        with _told():
            held.discard(held_id)
        click.echo(f"{held_id}: discarded")


@contextmanager
def _told() -> Iterator[None]:
    """Turn "there is no such id" into a message and exit code 1."""
    try:
        yield
    except NotHeldError as error:
        click.echo(f"mailposture: {error.args[0]}", err=True)
        sys.exit(FAILED)
