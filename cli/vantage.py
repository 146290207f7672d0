"""From where commands look at the world."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mailposture.checks.vantage import Vantage, vantage_of

if TYPE_CHECKING:
    from mailposture.config.model import Probes

nameserver_option = click.option(
    "--nameserver",
    "nameservers",
    multiple=True,
    metavar="IP[@PORT]",
    help="Ask this nameserver instead of the system's; may be given several times.",
)


def looking_from(probes: Probes, nameservers: tuple[str, ...]) -> Vantage:
    """The configured vantage, or wrong usage if a nameserver is not an address."""
    try:
        return vantage_of(probes, nameservers=nameservers)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--nameserver") from error
