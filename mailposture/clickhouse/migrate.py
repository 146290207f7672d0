"""Bring the databases of views and tables to the schema of this version.

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
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.schema_steps import Group
    from mailposture.config.model import ClickHouse, Config

log = structlog.get_logger()

_STEPS = "schema_steps"
_LOCK = "schema_lock"
_LOCK_IS_DEAD_AFTER = 60  # seconds
_LOOK_EVERY = 0.2
_TABLE_ALREADY_EXISTS = 57

_TTL = re.compile(r"\bTTL (?P<day>.+?) \+ toIntervalDay\((?P<days>\d+)\)")


def migrate(client: Client, config: Config, groups: Sequence[Group], *, dry_run: bool = False) -> list[Step]:
    """Apply what the databases do not have yet, as the collector's SQL user; return the steps.

    With `dry_run` nothing is run. Raises StorageError.
    """
    clickhouse = config.clickhouse
    steps = pending(client, config, groups)
    if dry_run or not steps:  # as at nearly every start: then nobody who is killed leaves a lock behind
        return steps
    try:
        _check_cluster(client, clickhouse)
        for step in schema_steps.create_databases(clickhouse):
            _run(client, step)
        with _locked(client, clickhouse):
            steps = pending(client, config, groups)
            _apply(client, clickhouse, steps)
    except ClickHouseError as error:
        raise StorageError(f"database {clickhouse.database}: {reason(error)}") from error
    return steps


def pending(client: Client, config: Config, groups: Sequence[Group]) -> list[Step]:
    """The steps that migrate() would apply. Raises StorageError."""
    clickhouse = config.clickhouse
    try:
        found = {name for (name,) in _ask(client, "SELECT name FROM system.databases")}
        steps = [step for step in schema_steps.create_databases(clickhouse) if step.database not in found]
        applied = _applied(client, clickhouse)
        for step in schema_steps.tables(groups, clickhouse):
            if step.name not in applied:
                steps.append(step)
            elif applied[step.name] != step.checksum:
                raise StorageError(
                    f"database {clickhouse.tables_database}: {step.name} is not what was applied there; applied steps "
                    "are never edited. Run the version of mailposture that applied it, or undo the edit and add a step"
                )
        there = set(_names(client, clickhouse.database))  # a backup may have been restored without the views
        steps += [
            step
            for step in schema_steps.views(groups, clickhouse)
            if applied.get(step.name) != step.checksum or step.view not in there
        ]
        steps += _retention(client, clickhouse)
    except ClickHouseError as error:
        raise StorageError(f"database {clickhouse.database}: {reason(error)}") from error
    return steps


def _applied(client: Client, config: ClickHouse) -> dict[str, str]:
    if _STEPS not in _names(client, config.tables_database):
        return {}
    known = _ask(client, f"SELECT name, checksum FROM {config.tables_database}.{_STEPS} FINAL")
    return {str(name): str(checksum) for name, checksum in known}


def _names(client: Client, database: str) -> list[str]:
    """The tables and views of a database."""
    sql = "SELECT name FROM system.tables WHERE database = {database:String}"
    return [str(name) for (name,) in _ask(client, sql, database=database)]


def _retention(client: Client, config: ClickHouse) -> list[Step]:
    """Steps for the tables whose TTL differs from the configuration."""
    steps = []
    sql = "SELECT name, engine_full FROM system.tables WHERE database = {database:String} ORDER BY name"
    for table, engine in _ask(client, sql, database=config.tables_database):
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
            client.insert(_STEPS, done, column_names=columns, database=config.tables_database)


@contextlib.contextmanager
def _locked(client: Client, config: ClickHouse) -> Iterator[None]:
    everywhere = schema_steps.on_cluster(config)
    lock = f"{config.tables_database}.{_LOCK}"
    create = Step(name=_LOCK, sql=f"CREATE TABLE {lock} {everywhere} (nothing UInt8) ENGINE = Memory")
    drop = Step(name=_LOCK, sql=f"DROP TABLE IF EXISTS {lock} {everywhere} SYNC")
    while True:
        try:
            _run(client, create)
            break
        except DatabaseError as error:
            if error.code != _TABLE_ALREADY_EXISTS:
                raise
        holder = {"database": config.tables_database, "lock": _LOCK, "seconds": _LOCK_IS_DEAD_AFTER}
        if _ask(client, _LOCK_IS_DEAD, **holder):
            log.warning("broke the lock of a migration that died", database=config.database)
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


def _ask(client: Client, sql: str, **parameters: object) -> list[tuple[object, ...]]:
    answer = client.raw_query(sql, parameters=parameters, fmt="JSONCompactEachRow", use_database=False)
    return [tuple(json.loads(line)) for line in answer.splitlines()]
