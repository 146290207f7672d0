"""A client for SQL, wherever the database is; the embedded engine is started if it does not run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import ClickHouseError

from mailposture.clickhouse import timeouts
from mailposture.clickhouse.client import StorageError, connect
from mailposture.clickhouse.embedded import use_or_start
from mailposture.clickhouse.faults import reason
from mailposture.clickhouse.migrate import pending
from reports.prepare import prepare, roll_up
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.engine_files import Endpoint
    from mailposture.config.model import Config


@contextmanager
def database(config: Config, *, user: str, at_once: bool = False) -> Iterator[Client]:
    """Log in as an SQL user for as long as the caller needs it.

    The embedded database is brought to the schema of this version first: it is ours alone. What it knows of the
    configuration is up to who started the engine: another one that a command happens to have changes nothing under a
    service that runs. A server is left to `mailposture collector` and `mailposture migrate`, which may. What tables
    keep of rows is made again here only while no service does, or if what the caller, the collector's SQL user, writes
    is to count `at_once`. Raises ProblemError.
    """
    with use_or_start(config) as access:
        if config.clickhouse.url is None:
            with _connection(config, config.clickhouse.collector_user, access.endpoint) as owner:
                if access.started or pending(owner, config, SCHEMA_GROUPS):
                    prepare(owner, config)
            if access.started:
                _roll_up(config, access.endpoint)
        with _connection(config, user, access.endpoint) as client:
            yield client
        if at_once or (access.started and user == config.clickhouse.collector_user):
            _roll_up(config, access.endpoint)


def _roll_up(config: Config, endpoint: Endpoint) -> None:
    with _connection(config, config.clickhouse.collector_user, endpoint, silence=timeouts.WORK) as owner:
        roll_up(owner, config)


@contextmanager
def _connection(config: Config, user: str, endpoint: Endpoint, silence: int | None = None) -> Iterator[Client]:
    """A client whose connections are closed in the end: an engine that stops waits for open ones."""
    client = connect(config, user=user, endpoint=endpoint, silence=silence)
    try:
        yield client
    except ClickHouseError as error:
        raise StorageError(
            f"ClickHouse at {endpoint.url} did not do what was asked: {reason(error)}; see to it and run the command "
            "again, nothing counts twice"
        ) from error
    finally:
        client.close_connections()
