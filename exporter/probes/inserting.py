"""Rows into tables, as the SQL user of the exporter, over one connection that is made again when it broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailposture.clickhouse.client import connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config


class Inserting:
    """Inserts; for one thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: Client | None = None

    def __call__(self, table: str, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
        """Raises StorageError if ClickHouse cannot be reached, ClickHouseError if it does not take the rows."""
        if self._client is None:
            self._client = connect(self._config, user=self._config.clickhouse.exporter_user)
        try:
            self._client.insert(table, rows, column_names=columns, database=self._config.clickhouse.tables_database)
        except Exception:
            self._client.close()
            self._client = None
            raise
