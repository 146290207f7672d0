"""The day, as the database has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client


def today(client: Client) -> date:
    """What the view `clock` says, by which all views judge (UTC)."""
    ((day,),) = client.query("SELECT today FROM clock").result_rows
    found: date = day
    return found
