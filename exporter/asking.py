"""Queries as the SQL user of the exporter, over one connection that is made again when it broke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import OperationalError

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.faults import silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config


class Asking:
    """Runs a query and returns its rows; for one thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client: Client | None = None

    def __call__(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Raises StorageError if ClickHouse cannot be reached, ClickHouseError if it does not answer the query."""
        if self._client is not None:
            try:
                return self._rows(self._client, sql, parameters)
            except OperationalError as error:  # the engine was started again, perhaps on another port
                self._client.close()
                self._client = None
                if silent(error):  # it would be as silent to the next question
                    raise
        self._client = connect(self._config, user=self._config.clickhouse.exporter_user)
        return self._rows(self._client, sql, parameters)

    @staticmethod
    def _rows(client: Client, sql: str, parameters: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        return client.query(sql, parameters=dict(parameters)).result_rows
