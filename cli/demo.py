"""What `mailposture run` does once for the demo, each in a process of its own, whose memory ends with it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from cli.options import DEMO_CONFIG, with_config
from demo.arrivals import write_arrivals
from demo.keys import load_or_generate
from demo.probes import write_probes
from demo.send import send_demo
from mailposture.clickhouse.client import connect
from reports.prepare import roll_up

if TYPE_CHECKING:
    from mailposture.config.model import Config


@click.command(hidden=True)
@with_config
def mails(config: Config) -> None:
    """Mail the demo's month to the collector that runs."""
    smtp = config.smtp.listen
    assert smtp is not None  # noqa: S101  the demo's configuration has it
    send_demo(datetime.now(UTC).date(), load_or_generate(DEMO_CONFIG.parent / "keys"), host=smtp.host, port=smtp.port)


@click.command(hidden=True)
@with_config
def history(config: Config) -> None:
    """Write when the reports, which are stored by now, would have come, and what probes would have seen."""
    now = datetime.now(UTC)
    with closing(connect(config, user=config.clickhouse.collector_user)) as collector:
        write_arrivals(collector, now.date(), database=config.clickhouse.tables_database)
        roll_up(collector, config)  # who counts has changed, and the screen does not wait for the next round
    with closing(connect(config, user=config.clickhouse.exporter_user)) as exporter:
        write_probes(exporter, now, database=config.clickhouse.tables_database)
