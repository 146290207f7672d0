"""The SQL that makes the schema, filled in for a single engine or a cluster.

Views are the contract: they are in the configured database, which readers are granted as a whole. Tables are in a
database of their own, which only the collector reads. Views run as their definer, the collector.

Steps come in groups, each a folder with numbers of its own: one for what all kinds of reports share (COMMON), one per
kind. A group's numbered files make and change tables; each is applied once and never edited afterwards. Its files in
views/ define views; a view holds no data, so it is replaced whenever its statement changes. A step may read what is
before it: groups in the order that the caller names them, files in the order of their names. One statement per file,
each safe to run twice; `{views}` and `{tables}` stand for the two databases.

A view whose name ends in `{_at}` is made twice of one text: `attention` as of today, and `attention_at(end = ...)` of
a day. There `{end}` is that day, and `{as_of}` follows the name of another such view in FROM. Two views, because
ClickHouse analyses a view with parameters once more for its columns, and so those within it four times, eight times:
planning is what these cost, and what is asked every minute is asked about today.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from mailposture.clickhouse.thresholds import to_be_renewed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mailposture.config.model import ClickHouse

_REJECTIONS_KEPT = timedelta(days=90)
_SUFFIX = "_at"  # of the names of views as of a day
_END = "{end:Date}"  # the day: the first that does not count


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Steps with numbers of their own."""

    name: str  # part of the names of its steps, which the database remembers
    folder: Path
    words: Mapping[str, str] = field(
        default_factory=dict
    )  # of its own, that its templates may name: SQL, itself a template


COMMON = Group(
    name="common",
    folder=Path(__file__).parent.parent / "schema",
    words={"to_be_renewed": to_be_renewed("not_after", "as_of")},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement that brings a database nearer to the schema."""

    name: str
    sql: str
    checksum: str = ""  # empty for what is not recorded, because the database itself shows whether it is done
    database: str = ""  # that it makes, if it does
    view: str = ""  # that it defines, if it does


def tables(groups: Iterable[Group], config: ClickHouse) -> list[Step]:
    """The numbered steps, in order."""
    steps = []
    for group, path in _files(groups, "*.sql"):
        template = path.read_text(encoding="utf-8")
        # Of the template: another cluster or retention is not another step.
        checksum = _checksum(template)
        steps.append(Step(name=f"{group.name}/{path.name}", sql=_render(template, group, config), checksum=checksum))
    return steps


def views(groups: Iterable[Group], config: ClickHouse) -> list[Step]:
    """The views, each after those that it reads."""
    steps = []
    for group, path in _files(groups, "views/*.sql"):
        template = path.read_text(encoding="utf-8")
        view = path.stem.partition("_")[2]  # behind its number
        name = f"{group.name}/views/{path.name}"
        for of_day in (False, True) if "{_at}" in template else (False,):
            sql = _render(template, group, config, of_day=of_day)
            suffix = _SUFFIX if of_day else ""
            steps.append(Step(name=name + suffix, sql=sql, checksum=_checksum(sql), view=view + suffix))
    return steps


def create_databases(config: ClickHouse) -> list[Step]:
    """What comes before everything."""
    return [
        Step(
            name=f"database {database}",
            sql=f"CREATE DATABASE IF NOT EXISTS {database} {on_cluster(config)}".strip(),
            database=database,
        )
        for database in (config.tables_database, config.database)
    ]


def days_kept(table: str, config: ClickHouse) -> int:
    """How long the rows of a table are kept. Anybody can cause rejections, so they are not kept for years."""
    return min(config.retention, _REJECTIONS_KEPT).days if table == "rejections" else config.retention.days


def change_retention(config: ClickHouse, table: str, day: str) -> Step:
    """Keep the rows of a table for as long as the configuration says; `day` is the expression of its TTL."""
    sql = (
        f"ALTER TABLE {config.tables_database}.{table} {on_cluster(config)}"
        f" MODIFY TTL {day} + INTERVAL {days_kept(table, config)} DAY"
    )
    return Step(name=f"retention of {table}", sql=sql)


def on_cluster(config: ClickHouse) -> str:
    """The clause that makes a statement run on every server."""
    return f"ON CLUSTER `{config.cluster}`" if config.cluster else ""


def _files(groups: Iterable[Group], pattern: str) -> Iterator[tuple[Group, Path]]:
    for group in groups:
        for path in sorted(group.folder.glob(pattern)):
            yield group, path


def _render(template: str, group: Group, config: ClickHouse, *, of_day: bool = False) -> str:
    """Fill in a template; the view that it defines is as of today, or `of_day`, a parameter."""
    words = {
        "end": _END if of_day else f"(SELECT today FROM {config.database}.clock)",
        "_at": _SUFFIX if of_day else "",
        "as_of": f"{_SUFFIX}(end = {_END})" if of_day else "",
        "views": config.database,
        "tables": config.tables_database,
        "on_cluster": on_cluster(config),
        # Replicas agree through the server's own default path and replica macros.
        "replacing": "ReplicatedReplacingMergeTree" if config.cluster else "ReplacingMergeTree",
        "aggregating": "ReplicatedAggregatingMergeTree" if config.cluster else "AggregatingMergeTree",
        "retention_days": config.retention.days,
        "rejections_days": days_kept("rejections", config),
    }
    of_group = {name: text.format_map(words) for name, text in group.words.items()}
    return template.format_map({**of_group, **words}).strip()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
