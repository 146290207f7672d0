"""A client for SQL, wherever the configuration says the database is; the embedded engine is started if it does not run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import use_or_start
from mailposture.clickhouse.prepare import prepare

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.config import Config


@contextmanager
def database(config: Config, *, user: str) -> Iterator[Client]:
    """Log in as an SQL user for as long as the caller needs it.

    The embedded database is brought to the schema of this version first: it is ours alone. A server's is left to
    `mailposture collector` and `mailposture migrate`, which may. Raises ProblemError.
    """
    with use_or_start(config) as endpoint:
        if config.clickhouse.url is None:
            prepare(connect(config, user=config.clickhouse.collector_user, endpoint=endpoint), config)
        yield connect(config, user=user, endpoint=endpoint)
