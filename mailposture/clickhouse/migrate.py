"""Bring a database to the schema of this version.

Every service does this when it starts, so several may do it at once. ClickHouse has no locks to offer, but on both
engines exactly one of several clients can create a table: that one holds the lock and drops the table when it is done.
A holder that died leaves the table behind, so a lock older than any migration takes, or than the engine's start, is
broken. Two waiters that break it at the same instant could then both migrate; even so nothing breaks, because each step
may run twice.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from mailposture.clickhouse import schema_steps
from mailposture.clickhouse.client import StorageError
from mailposture.clickhouse.faults import reason
from mailposture.clickhouse.schema_steps import Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver import Client

    from mailposture.config.model import ClickHouse, Config

log = structlog.get_logger()

_LOCK = "schema_lock"
_LOCK_IS_DEAD_AFTER = 60  # seconds
_LOOK_EVERY = 0.2
_TABLE_ALREADY_EXISTS = 57

_TTL = re.compile(r"\bTTL (?P<day>.+?) \+ toIntervalDay\((?P<days>\d+)\)")


def migrate(client: Client, config: Config, *, dry_run: bool = False) -> list[Step]:
    """Apply what the database does not have yet, as the collector's SQL user; return the steps.

    With `dry_run` nothing is run. Raises StorageError.
    """
    clickhouse = config.clickhouse
    if dry_run:
        return pending(client, config)
    try:
        _check_cluster(client, clickhouse)
        _run(client, schema_steps.create_database(clickhouse))
        with _locked(client, clickhouse):
            steps = pending(client, config)
            _apply(client, clickhouse, steps)
    except ClickHouseError as error:
        raise StorageError(f"database {clickhouse.database}: {reason(error)}") from error
    return steps


def pending(client: Client, config: Config) -> list[Step]:
    """The steps that migrate() would apply. Raises StorageError."""
    clickhouse = config.clickhouse
    try:
        steps = []
        if not _ask(client, "SELECT 1 FROM system.databases WHERE name = {database:String}", clickhouse):
            steps.append(schema_steps.create_database(clickhouse))
        applied = _applied(client, clickhouse)
        for step in schema_steps.tables(clickhouse):
            if step.name not in applied:
                steps.append(step)
            elif applied[step.name] != step.checksum:
                raise StorageError(
                    f"database {clickhouse.database}: {step.name} is not what was applied there; applied steps are "
                    "never edited. Run the version of mailposture that applied it, or undo the edit and add a step"
                )
        steps += [step for step in schema_steps.views(clickhouse) if applied.get(step.name) != step.checksum]
        steps += _retention(client, clickhouse)
    except ClickHouseError as error:
        raise StorageError(f"database {clickhouse.database}: {reason(error)}") from error
    return steps


def _applied(client: Client, config: ClickHouse) -> dict[str, str]:
    known = "SELECT 1 FROM system.tables WHERE database = {database:String} AND name = 'schema_steps'"
    if not _ask(client, known, config):
        return {}
    return {
        str(name): str(checksum) for name, checksum in _ask(client, _APPLIED.format(database=config.database), config)
    }


_APPLIED = "SELECT name, checksum FROM {database}.schema_steps FINAL"


def _retention(client: Client, config: ClickHouse) -> list[Step]:
    """Steps for the tables whose TTL differs from the configuration."""
    steps = []
    for table, engine in _ask(
        client, "SELECT name, engine_full FROM system.tables WHERE database = {database:String} ORDER BY name", config
    ):
        ttl = _TTL.search(str(engine))
        if ttl and int(ttl["days"]) != schema_steps.days_kept(str(table), config):
            steps.append(schema_steps.change_retention(config, str(table), ttl["day"]))
    return steps


def _apply(client: Client, config: ClickHouse, steps: list[Step]) -> None:
    """Run the steps, and note those that were run, also when one fails."""
    done: list[tuple[str, str, datetime]] = []
    try:
        for step in steps:
            try:
                _run(client, step)
            except ClickHouseError as error:
                raise StorageError(f"database {config.database}: {step.name} failed: {reason(error)}") from error
            log.info("schema step applied", step=step.name, database=config.database)
            if step.checksum:
                done.append((step.name, step.checksum, datetime.now(UTC)))
    finally:
        if done:
            columns = ("name", "checksum", "applied_at")
            client.insert("schema_steps", done, column_names=columns, database=config.database)


@contextlib.contextmanager
def _locked(client: Client, config: ClickHouse) -> Iterator[None]:
    everywhere = schema_steps.on_cluster(config)
    lock = f"{config.database}.{_LOCK}"
    create = Step(name=_LOCK, sql=f"CREATE TABLE {lock} {everywhere} (nothing UInt8) ENGINE = Memory")
    drop = Step(name=_LOCK, sql=f"DROP TABLE IF EXISTS {lock} {everywhere} SYNC")
    while True:
        try:
            _run(client, create)
            break
        except DatabaseError as error:
            if error.code != _TABLE_ALREADY_EXISTS:
                raise
        if _ask(client, _LOCK_IS_DEAD, config, lock=_LOCK, seconds=_LOCK_IS_DEAD_AFTER):
            log.warning("lock of a migration that died is broken", database=config.database)
            _run(client, drop)
        else:
            time.sleep(_LOOK_EVERY)
    try:
        yield
    finally:
        _run(client, drop)


_LOCK_IS_DEAD = """
    SELECT 1 FROM system.tables
    WHERE database = {database:String} AND name = {lock:String}
      AND metadata_modification_time < now() - least({seconds:UInt32}, uptime())
"""


def _check_cluster(client: Client, config: ClickHouse) -> None:
    """Every server must hold everything: FINAL finds duplicates of a report only within one shard."""
    if config.cluster is None:
        return
    sql = "SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {cluster:String}"
    shards = client.query(sql, parameters={"cluster": config.cluster}).result_rows[0][0]
    if shards != 1:
        found = f"has {shards} shards" if shards else "is not known to the server"
        raise StorageError(
            f"clickhouse.cluster: {config.cluster} {found}; name a cluster of one shard, with any number of replicas"
        )


def _run(client: Client, step: Step) -> None:
    # In the database that is always there: ours may not be yet.
    client.raw_query(step.sql, use_database=False)


def _ask(client: Client, sql: str, config: ClickHouse, **more: object) -> list[tuple[object, ...]]:
    answer = client.raw_query(
        sql, parameters={"database": config.database, **more}, fmt="JSONCompactEachRow", use_database=False
    )
    return [tuple(json.loads(line)) for line in answer.splitlines()]
