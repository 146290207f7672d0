"""`mailposture quarantine`: messages that are held: quarantined or rejected."""

from __future__ import annotations

import difflib
import functools
import json
import sys
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.exit_codes import FAILED
from cli.options import domain_of, named_domain, with_config
from collector.held_reports import Selection, about
from collector.spool import HeldMessage, HeldMessages, HeldState, NotHeldError
from mailposture.ownership import Ownership
from mailposture.quoting import printable
from reports.rejection import QuarantineReason, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mailposture.config.model import Config

_STATES = {"quarantined": HeldState.QUARANTINED, "rejected": HeldState.REJECTED, "all": None}
_ALL = 1_000_000  # messages, far more than spool.held_size has room for
_UNBOUNDED = 100_000  # columns: what is no terminal has no edge


@click.group()
def command() -> None:
    """List, show, release, discard or judge again what is held.

    Reports that are not authenticated are quarantined: anyone can mail a forged report. Messages without a usable
    report are rejected, and kept too. Both are dropped after spool.held_for, or when they take more than
    spool.held_size; then whoever sent most loses first. IDs may be shortened to an unambiguous beginning.
    """


def _held(config: Config) -> HeldMessages:
    return HeldMessages(config.data / "spool", rules=config.spool)


def _selected(state: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that choose among what is held: it receives them as a Selection."""

    def chosen(command: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--state", type=click.Choice(list(_STATES)), default=state, show_default=True)
        @click.option("--reason", default="", help="Only messages held for this reason.")
        @click.option("--domain", default="", metavar="DOMAIN", help="Only reports about this domain of yours.")
        @click.option(
            "--reporter", default="", metavar="DOMAIN", help="Only what claims to be from there, by From or contact."
        )
        @functools.wraps(command)
        def choosing(
            config: Config, *arguments: Any, state: str, reason: str, domain: str, reporter: str, **options: Any
        ) -> Any:
            selection = Selection(
                state=_STATES[state],
                reason=_known_reason(config, reason),
                domain=domain_of(config, domain) if domain else "",
                reporter=named_domain(reporter) if reporter else "",
            )
            return command(config, *arguments, selection=selection, **options)

        return choosing

    return chosen


def _known_reason(config: Config, reason: str) -> str:
    """One for which messages may be held; an earlier version may have had others. Raises a usage error."""
    if reason in ("", *QuarantineReason, *Reason):
        return reason
    held = sorted({message.reason for message in _held(config).list(limit=_ALL)})
    if reason in held:
        return reason
    near = difflib.get_close_matches(reason, [*QuarantineReason, *Reason], n=1)
    hint = f"did you mean {near[0]}?" if near else f"reasons now: {', '.join(held) or 'none, as nothing is held'}"
    raise click.BadParameter(f"nothing is held for {reason!r}; {hint}", param_hint="--reason")


@command.command(name="list")
@with_config
@_selected("quarantined")
@click.option(
    "--limit", type=click.IntRange(1), default=1_000, show_default=True, help="At most this many, the newest."
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(config: Config, selection: Selection, limit: int, form: str) -> None:
    """List what is held, the newest first."""
    held = _held(config)
    found = selection.of(held, config)
    messages = list(islice(found, limit))
    if form == "json":
        ownership = Ownership(config)
        click.echo(json.dumps([_described(held, each, ownership) for each in messages], indent=2))
    elif not messages:
        click.echo("nothing is held" if selection.state is None else f"nothing is {selection.state}")
    else:
        _print_table(messages)
    if more := sum(1 for _ in found):
        click.echo(f"{more:,} older ones are not shown; --limit {len(messages) + more} shows all", err=True)


def _described(held: HeldMessages, message: HeldMessage, ownership: Ownership) -> dict[str, object]:
    envelope = message.envelope
    try:
        says = about(envelope, held.get(message.id)[1], ownership)._asdict()
    except NotHeldError:  # it had to make room meanwhile
        says = {}
    return {
        "id": message.id,
        "state": message.state,
        "reason": message.reason,
        "detail": message.detail,
        "received_at": envelope.received_at.isoformat(),
        "held_at": message.held_at.isoformat(),
        "source": envelope.source,
        "name": envelope.name,
        "peer": envelope.peer,
        "mail_from": envelope.mail_from,
        "recipients": envelope.recipients,
        "size": message.size,
        **says,
    }


def _print_table(messages: Sequence[HeldMessage]) -> None:
    """On a terminal long texts go on in the next line; elsewhere each message is a line."""
    table = Table(box=None, title=f"{len(messages)} held", title_justify="left")
    for heading in ("id", "received", "from", "why"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for message in messages:
        envelope = message.envelope
        table.add_row(
            message.id,
            f"{envelope.received_at:%Y-%m-%d %H:%M}",
            Text(printable(envelope.mail_from or envelope.name or envelope.peer or envelope.source)),
            Text(f"{message.reason}: {message.detail}"),
        )
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(highlight=False, width=_UNBOUNDED)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


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
@click.argument("held_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All; fewer with --reason, --domain and --reporter.")
@_selected("quarantined")
def release(config: Config, held_ids: tuple[str, ...], every: bool, selection: Selection) -> None:
    """Accept messages on your word: they are read again, and stored with trust `operator`.

    \b
    Examples:
      mailposture quarantine release 7f3a2c
      mailposture quarantine release --all --reason invalid --reporter sender.example
    """
    number = _each(config, held_ids, every=every, selection=selection, act=HeldMessages.release)
    click.echo(f"{number:,} released; a running collector stores them within seconds, else the next one to start")


@command.command(name="judge-again")
@with_config
@click.argument("held_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All; fewer with --reason, --domain and --reporter.")
@_selected("all")
def judge_again(config: Config, held_ids: tuple[str, ...], every: bool, selection: Selection) -> None:
    """Judge messages again by today's rules.

    For what an upgrade can read now, what DNS answers for by now, and what is from a domain that was written into
    authentication.accepted_authors. Nothing is accepted on your word: what is still unauthenticated is quarantined
    again, and what still holds no report is rejected again.
    """
    number = _each(config, held_ids, every=every, selection=selection, act=HeldMessages.put_back)
    click.echo(f"{number:,} to be judged again; a running collector does so within seconds, else the next to start")


@command.command()
@with_config
@click.argument("held_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All; fewer with --reason, --domain and --reporter.")
@_selected("quarantined")
def discard(config: Config, held_ids: tuple[str, ...], every: bool, selection: Selection) -> None:
    """Delete messages for good."""
    click.echo(f"{_each(config, held_ids, every=every, selection=selection, act=HeldMessages.discard):,} discarded")


def _each(
    config: Config,
    held_ids: tuple[str, ...],
    *,
    every: bool,
    selection: Selection,
    act: Callable[[HeldMessages, str], object],
) -> int:
    """Do something with each message that is meant: by id, or chosen; returns how many."""
    held = _held(config)
    chosen = every or bool(selection.reason or selection.domain or selection.reporter)
    if bool(held_ids) is chosen:
        raise click.UsageError("name IDs, or choose: --all, --reason, --domain, --reporter")
    number, wrong = 0, False
    for held_id in held_ids or [message.id for message in selection.of(held, config)]:
        try:
            act(held, held_id)
        except NotHeldError as error:
            wrong = wrong or bool(held_ids)  # what was chosen may have had to make room meanwhile
            click.echo(f"mailposture: {error.args[0]}", err=True)
        else:
            number += 1
    if wrong:
        click.echo(f"{number:,} done", err=True)
        sys.exit(FAILED)
    return number


@contextmanager
def _told() -> Iterator[None]:
    """Turn "there is no such id" into a message and exit code 1."""
    try:
        yield
    except NotHeldError as error:
        click.echo(f"mailposture: {error.args[0]}", err=True)
        sys.exit(FAILED)
