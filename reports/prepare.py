"""What a start does to the database: migrations, the words and domains that views join with, what is kept of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailposture.clickhouse.migrate import migrate
from mailposture.clickhouse.reference import write_domains
from reports.acknowledging import write_acknowledgements
from reports.kinds import KINDS
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config


def prepare(client: Client, config: Config) -> None:
    """Bring the database to the schema of this version and this configuration. Safe to call from several processes."""
    migrate(client, config, SCHEMA_GROUPS)
    write_configuration(client, config)


def write_configuration(client: Client, config: Config) -> None:
    """Write what views join with: the domains of the configuration, their senders, and the words of this version."""
    write_domains(client, config)
    for kind in KINDS:
        if kind.write_words is not None:
            kind.write_words(client, config)
    write_acknowledgements(client, config)


def roll_up(client: Client, config: Config) -> None:
    """Make again what tables keep of rows that have changed, for all kinds; the collector does it in rounds."""
    for kind in KINDS:
        if kind.roll_up is not None:
            kind.roll_up(client, config)
