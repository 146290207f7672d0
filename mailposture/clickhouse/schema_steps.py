"""The SQL of mailposture/schema, filled in for a single engine or a cluster.

Numbered files make and change tables; each is applied once and never edited afterwards. Files in views/ define views,
in the order of their numbers; a view holds no data, so it is simply replaced whenever its statement changes. One
statement a file, each safe to run twice.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailposture.config.model import ClickHouse

_REJECTIONS_KEPT = timedelta(days=90)
_SCHEMA = Path(__file__).parent.parent / "schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement that brings a database nearer to the schema."""

    name: str
    sql: str
    checksum: str = ""  # empty for what is not recorded, because the database itself shows whether it is done


def tables(config: ClickHouse) -> list[Step]:
    """The numbered steps, in order."""
    steps = []
    for path in sorted(_SCHEMA.glob("*.sql")):
        template = path.read_text(encoding="utf-8")
        # Of the template: another cluster or retention is not another step.
        steps.append(Step(name=path.name, sql=_render(template, config), checksum=_checksum(template)))
    return steps


def views(config: ClickHouse) -> list[Step]:
    """The views, each after those that it reads."""
    steps = []
    for path in sorted((_SCHEMA / "views").glob("*.sql")):
        sql = _render(path.read_text(encoding="utf-8"), config)
        steps.append(Step(name=f"views/{path.name}", sql=sql, checksum=_checksum(sql)))
    return steps


def create_database(config: ClickHouse) -> Step:
    """What comes before everything."""
    sql = f"CREATE DATABASE IF NOT EXISTS {config.database} {on_cluster(config)}"
    return Step(name=f"database {config.database}", sql=sql)


def days_kept(table: str, config: ClickHouse) -> int:
    """How long the rows of a table are kept. Anybody can cause rejections, so they are not kept for years."""
    return min(config.retention, _REJECTIONS_KEPT).days if table == "rejections" else config.retention.days


def change_retention(config: ClickHouse, table: str, day: str) -> Step:
    """Keep the rows of a table for as long as the configuration says; `day` is the expression of its TTL."""
    sql = (
        f"ALTER TABLE {config.database}.{table} {on_cluster(config)}"
        f" MODIFY TTL {day} + INTERVAL {days_kept(table, config)} DAY"
    )
    return Step(name=f"retention of {table}", sql=sql)


def on_cluster(config: ClickHouse) -> str:
    """The clause that makes a statement run on every server."""
    return f"ON CLUSTER `{config.cluster}`" if config.cluster else ""


def _render(template: str, config: ClickHouse) -> str:
    return template.format_map(
        {
            "database": config.database,
            "on_cluster": on_cluster(config),
            # Replicas agree through the server's own default path and replica macros.
            "replacing": "ReplicatedReplacingMergeTree" if config.cluster else "ReplacingMergeTree",
            "aggregating": "ReplicatedAggregatingMergeTree" if config.cluster else "AggregatingMergeTree",
            "retention_days": config.retention.days,
            "rejections_days": days_kept("rejections", config),
        }
    ).strip()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
