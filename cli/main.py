"""The `mailposture` command. Each subcommand is a thin function in a file of its own, loaded when it is called."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any

import click

from cli.commands import COMMANDS, INTERNAL
from cli.exit_codes import FAILED, WRONG_USAGE
from mailposture.problems import ConfigError, ProblemError


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = COMMANDS.get(cmd_name)
        module, name = (known.module, "command") if known else INTERNAL.get(cmd_name, ("", ""))
        if not module:
            return None
        command: click.Command = getattr(importlib.import_module(f"cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.purpose) for name, command in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], COMMANDS, n=1)
        if near and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            click.echo(str(error), err=True)
            ctx.exit(WRONG_USAGE)
        except ProblemError as error:
            click.echo(f"mailposture: {error}", err=True)
            ctx.exit(FAILED)
        except BrokenPipeError:  # `| head` has seen enough; click ends in silence
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"mailposture: {where}{error.strerror or error}; fix that and run the command again", err=True)
            _drop_output_that_cannot_be_written()
            ctx.exit(FAILED)


def _drop_output_that_cannot_be_written() -> None:
    """Keep Python from trying again at exit and printing an error of its own (3.11.2 does)."""
    try:
        sys.stdout.flush()
    except OSError:
        with _nowhere("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _complete_streams() -> None:
    """Open what a caller has closed, lest the next file becomes our output, and write `?` for what has no character."""
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _nowhere(mode: str) -> IO[str]:
    return Path(os.devnull).open(mode, encoding="utf-8")


def _reach_loopback_directly() -> None:
    """No proxy of `http_proxy` can reach our own engine and services; children inherit this."""
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if excepted != "*":
        names = dict.fromkeys([*excepted.split(","), "127.0.0.1", "::1", "localhost"])
        os.environ["no_proxy"] = ",".join(filter(None, names))


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mailposture", message="mailposture %(version)s")
def main() -> None:
    """Is mail to us still encrypted, and is mail from us authenticated; and if not: whose, where and why?

    Mail servers all over the world mail daily TLS reports (RFC 8460) and DMARC aggregate reports (RFC 9990) to domains
    that ask for them. mailposture takes them in, loses none, and explains every failure.

    \b
    Try it:              mailposture run                       (a demo, when there is no configuration)
    Your own domains:    mailposture init . --domain example.com
    Old reports:         mailposture import ~/Maildir reports/*.json.gz
    The answer:          mailposture summary

    Exit codes: 0 done, 1 something was rejected or failed, 2 wrong usage or configuration.
    """
    _complete_streams()
    _reach_loopback_directly()
    from mailposture import logs  # noqa: PLC0415  not for --help

    logs.set_up("mailposture", least=logging.WARNING)  # services set up their own, which say more
