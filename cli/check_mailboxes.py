"""`mailposture check --mailboxes`: tries each mailbox of the configuration."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, NoReturn

import click

from cli.exit_codes import DONE, FAILED
from cli.options import find_config
from reports.configuration import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.sources.mailbox.trying import Tried


def check_mailboxes(config_path: Path | None, *, as_json: bool) -> NoReturn:
    """Print what came of each, and end with the exit code of `check`."""
    from collector.sources.mailbox.mailboxes import mailboxes_of  # noqa: PLC0415
    from collector.sources.mailbox.trying import try_mailbox  # noqa: PLC0415

    mailboxes = mailboxes_of(load_config(find_config(config_path)))
    if not mailboxes:
        raise click.UsageError("the configuration has no mailbox: neither imap, graph nor maildir")
    tried = [try_mailbox(mailbox) for mailbox in mailboxes]
    click.echo(json.dumps([asdict(each) for each in tried], indent=2) if as_json else _as_text(tried))
    raise SystemExit(FAILED if any(each.trouble for each in tried) else DONE)


def _as_text(tried: Sequence[Tried]) -> str:
    lines: list[str] = []
    for each in tried:
        shown = click.style("wrong", fg="red") if each.trouble else click.style("good", fg="green")
        reason = f" ({each.trouble})" if each.trouble else ""
        lines += [click.style(each.mailbox, bold=True), f"  {shown}  {each.detail}{reason}"]
        if each.instruction:
            lines.append(f"         -> {each.instruction}")
    return "\n".join(lines)
