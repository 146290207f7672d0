"""`mailposture collector`: reports in. Two processes: one that only receives, one that decodes and writes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import click

from cli.claim import check_collector_ports, claimed
from cli.commands import own_process
from cli.options import config_path_option, find_config
from cli.supervise import supervise
from mailposture import logs
from mailposture.processes import Child, end_with_parent
from reports.configuration import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from mailposture.config.model import Config


# Batches come and go: let freed memory go back to the system instead of staying in per-thread pools.
_FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "1000000", "ARROW_DEFAULT_MEMORY_POOL": "system"}


def children(config_path: Path, config: Config) -> list[Child]:
    """The two processes of a collector, which add their metrics up in a folder that is emptied here."""
    shared = config.data / "run" / "metrics"
    shutil.rmtree(shared, ignore_errors=True)
    shared.mkdir(parents=True)
    return [
        Child(
            name=name,
            command=own_process(name, config_path),
            environment={"PROMETHEUS_MULTIPROC_DIR": str(shared), **_FRUGAL},
        )
        for name in ("ingest", "receiver")
    ]


@click.command()
@config_path_option
def command(config_path: Path | None) -> None:
    """Receive reports by SMTP, LMTP, HTTPS and from mailboxes, and store them: receiver and ingest, looked after.

    SIGHUP reads domains and recipients of the configuration again.
    """
    path = find_config(config_path)
    config = load_config(path)
    check_collector_ports(config)
    with claimed(config):
        supervise("collector", children(path, config))


@click.command(hidden=True)
@config_path_option
def receiver(config_path: Path | None) -> None:
    """Only receive: from the listeners and mailboxes into the spool."""
    from collector.receiver import run_receiver  # noqa: PLC0415

    logs.set_up("receiver")
    end_with_parent()
    path = find_config(config_path)
    run_receiver(path, load_config(path))


@click.command(hidden=True)
@config_path_option
def ingest(config_path: Path | None) -> None:
    """Only store: from the spool into ClickHouse."""
    from collector.ingest.service import run_ingest  # noqa: PLC0415

    logs.set_up("ingest")
    end_with_parent()
    path = find_config(config_path)
    run_ingest(path, load_config(path))
