"""When the demo's reports came and since when its senders are known, written straight into ClickHouse.

The demo mails its month in a few seconds, so all its reports would be late, and all its senders newcomers, which hardly
count in alerts. In truth they would have come day by day, two hours after the end of their day.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from demo.dmarc.reporters import REPORTERS
from demo.domains import DOMAINS, PARKED
from demo.month import DAYS
from demo.senders import SENDERS
from mailposture.domain_names import organizational_domain

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client

_COLUMNS: Final = ("policy_domain", "reporter", "trust", "first_arrival", "last_arrival")


def write_arrivals(client: Client, today: date, *, database: str) -> None:
    """Have the stored reports come when they would have, as the collector's SQL user; again changes nothing."""
    for table in ("tls_reports", "dmarc_reports"):
        client.command(
            f"ALTER TABLE {database}.{table}"
            " UPDATE received_at = least(received_at, toDateTime64(period_end, 3, 'UTC') + INTERVAL 2 HOUR)"
            " WHERE true SETTINGS mutations_sync = 1"
        )
    last = datetime.combine(today, time(), UTC)
    first = last - timedelta(days=DAYS - 1)
    for table, domains, reporting in (
        ("tls_reporter_arrivals", DOMAINS, SENDERS),
        ("dmarc_reporter_arrivals", (*DOMAINS, *PARKED), [reporter.sender for reporter in REPORTERS]),
    ):
        rows = [
            (domain.name, organizational_domain(sender.domain), "dkim", first, last)
            for domain in domains
            for sender in reporting
        ]
        client.insert(table, rows, column_names=_COLUMNS, database=database)
