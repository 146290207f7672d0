"""Which digest was handed over for whom: in the database, so that it outlives the process and its machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config
    from reports.digest.week import Week

_COLUMNS: Final = ("first_day", "scope", "recipient", "message_id", "sent_at")


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that the mail server has accepted."""

    week: Week
    team: str  # whose digest it is; empty: that of all domains
    recipient: str
    message_id: str
    at: datetime


def read_sent(client: Client, week: Week) -> dict[tuple[str, str], datetime]:
    """By team and recipient when the digest of a week was handed over."""
    rows = client.query(
        "SELECT scope, recipient, sent_at FROM digests_sent WHERE first_day = {day:Date}",
        parameters={"day": week.start},
    ).result_rows
    return {(team, recipient): sent_at.replace(tzinfo=UTC) for team, recipient, sent_at in rows}


def note_sent(client: Client, config: Config, sent: Sent) -> None:
    """As the exporter's SQL user; again changes nothing."""
    row = (sent.week.start, sent.team, sent.recipient, sent.message_id, sent.at)
    client.insert("digests_sent", [row], column_names=_COLUMNS, database=config.clickhouse.tables_database)
