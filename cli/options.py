"""What every subcommand shares: where the configuration is, and how faults end."""

from __future__ import annotations

import functools
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailposture.domain_names import mail_domain
from mailposture.problems import ConfigError
from mailposture.quoting import quoted
from reports.configuration import load_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailposture.config.domains import Domain
    from mailposture.config.model import Config

CONFIG_NAME = "mailposture.yaml"
DEMO_CONFIG = Path("demo-data") / CONFIG_NAME


def find_config(given: Path | None) -> Path:
    """The configuration file to use: the given one, ./mailposture.yaml, or that of the demo.

    Raises ConfigError if there is none.
    """
    if given is not None:
        return given
    for path in (Path(CONFIG_NAME), DEMO_CONFIG):
        if path.exists():
            return path
    raise ConfigError(
        f"no configuration: there is no {CONFIG_NAME} here, and neither --config nor MAILPOSTURE_CONFIG names one; "
        "`mailposture init DIR --domain example.com` writes one, `mailposture run` starts a demo without one"
    )


class NamedPath(click.Path):
    """A path that somebody wrote: pathlib takes an empty one, such as that of an unset shell variable, for `.`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("an empty path names nothing (is a shell variable unset?); write . for the current folder")
        return super().convert(value, param, ctx)


config_path_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    envvar="MAILPOSTURE_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help=f"Configuration file.  [default: ./{CONFIG_NAME}, then the demo's ./{DEMO_CONFIG}]",
)


def with_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config FILE`; the command receives the loaded file as its first argument."""

    @config_path_option
    @functools.wraps(command)
    def loading(*arguments: Any, config_path: Path | None, **options: Any) -> Any:
        return command(load_config(find_config(config_path)), *arguments, **options)

    return loading


def named_domain(name: str) -> str:
    """Return the normal form of a domain that a user named; wrong usage for what could be no domain of anybody's."""
    try:
        return mail_domain(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def domain_of(config: Config, name: str) -> str:
    """Return the configured domain that a user named, in its normal form; wrong usage if it is not configured."""
    wanted = named_domain(name)
    names = [domain.name for domain in config.domains]
    if wanted in names:
        return wanted
    near = get_close_matches(wanted, names, n=1, cutoff=0.7)
    known = f"{', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
    hint = f"; did you mean {near[0]}?" if near else f" ({known})"
    shown = name if name.isprintable() else quoted(name)
    raise click.BadParameter(f"{shown} is not among the configured domains{hint}")


def configured_domain(config: Config, name: str) -> Domain:
    """Return the configuration of a domain that a user named; wrong usage if it is not configured."""
    wanted = domain_of(config, name)
    return next(domain for domain in config.domains if domain.name == wanted)
