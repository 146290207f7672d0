"""Queries as the SQL user of the exporter, over one connection that is made again after a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailposture.clickhouse.client import connect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver import Client

    from mailposture.config import Config


class Asking:
    """Runs a query and returns its rows; for one thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: Client | None = None

    def __call__(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Raises StorageError or ClickHouseError; the next call connects anew, wherever the engine listens by then."""
        if self._client is None:
            self._client = connect(self._config, user=self._config.clickhouse.exporter_user)
        try:
            return self._client.query(sql, parameters=dict(parameters)).result_rows
        except Exception:
            self._client.close()
            self._client = None
            raise
