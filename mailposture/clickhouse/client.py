"""A client for SQL, the same for the embedded engine and for a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError

from mailposture.clickhouse import timeouts
from mailposture.clickhouse.embedded import running_endpoint, server_endpoint
from mailposture.clickhouse.faults import reason
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.engine_files import Endpoint
    from mailposture.config.model import Config

# Codes of ClickHouse: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
_WRONG_CREDENTIALS = (193, 194, 516)


class StorageError(ProblemError):
    """ClickHouse cannot be used; the message names the address, the reason and the next step."""


def connect(config: Config, *, user: str, endpoint: Endpoint | None = None, silence: int | None = None) -> Client:
    """Log in as an SQL user of the configuration, for one thread: a client shared by threads makes them queue.

    Without `endpoint` it is the server of clickhouse.url, or the embedded engine that runs on the data folder; for
    `silence` seconds, or the usual ones, it may say nothing. Names without a database mean the configured one, which
    migrate() makes. Raises StorageError.
    """
    if endpoint is None:
        endpoint = server_endpoint(config) if config.clickhouse.url else running_endpoint(config)
    if endpoint is None:
        raise StorageError(
            f"no embedded engine runs on {config.data}; start one with `mailposture run`, or set clickhouse.url"
        )
    authority = config.clickhouse.certificate_authority
    try:
        client = clickhouse_connect.get_client(
            host=endpoint.host,
            port=endpoint.http_port,
            interface="https" if endpoint.secure else "http",
            username=user,
            password=_password(endpoint, user),
            database="default",  # always there; ours may not be before the first migration
            ca_cert=str(authority) if authority and endpoint.secure else None,
            connect_timeout=timeouts.CONNECT,
            send_receive_timeout=silence or timeouts.SILENCE,
            autogenerate_session_id=False,
            client_name="mailposture",
            show_clickhouse_errors="scrub",  # without URL and version
        )
    except ClickHouseError as error:
        raise StorageError(_explain(error, endpoint, user)) from error
    client.database = config.clickhouse.database
    return client


def _password(endpoint: Endpoint, user: str) -> str:
    if endpoint.passwords is None:
        return ""
    path = endpoint.passwords / user
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StorageError(
            f"{path}: the password of the SQL user {user} cannot be read ({error.strerror}); write it "
            "there, or correct clickhouse.passwords"
        ) from error


def _explain(error: ClickHouseError, endpoint: Endpoint, user: str) -> str:
    if getattr(error, "code", None) in _WRONG_CREDENTIALS:
        where = (
            f"{endpoint.passwords / user} does not hold its password"
            if endpoint.passwords
            else "it needs a password, and clickhouse.passwords names no folder with one"
        )
        return (
            f"{endpoint.url} does not let the SQL user {user} in: {where}, or the server does not know the user "
            "(provisioning/clickhouse/users.xml)"
        )
    return (
        f"ClickHouse at {endpoint.url} cannot be used as {user}: {reason(error)}; see whether it runs there, and what "
        "its log says"
    )
