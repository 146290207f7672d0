"""`mailposture policy-host`: the MTA-STS policies of our domains, where senders look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.options import config_path_option, find_config

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_path_option
def command(config_path: Path | None) -> None:
    """Serve https://mta-sts.DOMAIN/.well-known/mta-sts.txt for every domain with `mta_sts` (RFC 8461).

    With `policy_host.tls` it serves HTTPS directly; without, it serves HTTP for a proxy in front (see
    provisioning/caddy). SIGHUP reads the configuration again; certificates are read again when their files change.
    """
    from mailposture import logs  # noqa: PLC0415
    from policy_host.service import run  # noqa: PLC0415

    logs.set_up("policy-host")
    run(find_config(config_path))
