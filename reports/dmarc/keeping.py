"""What is kept of DMARC reports: the days of domains in `dmarc_sources`, and what is judged of them.

Each is made by a view that works it out from everything there is, and read by a view that takes no time. To make
something again is one insert: what was there is removed by a lower version than what takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mailposture.clickhouse.parameters import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

_GROUP: Final = (
    "policy_domain, day, source, source_ip, header_from, pile, evidence, reason, published_policy, published_domain,"
    " source_kind, possibly_ours"
)
_OUTCOMES: Final = (
    "passed_messages",
    "spf_aligned_messages",
    "dkim_aligned_messages",
    "quarantined_messages",
    "rejected_messages",
)  # by their bits in `outcome`, as dmarc_sources_daily takes them apart
_SUMS: Final = ("messages", "counted_messages")
_NAMES: Final = ("reporters", "counted_reporters")
# The processor belongs to those who wait for it.
_QUIETLY: Final = {"max_threads": 1, "max_insert_threads": 1}


class Judged(NamedTuple):
    """A table that keeps what a view says of whole domains, as of today."""

    table: str
    view: str
    columns: str


# Readiness reads what is found.
_FOUND: Final = Judged(
    table="dmarc_found",
    view="dmarc_findings_at(end = (SELECT today FROM {views}.clock))",
    columns="policy_domain, cause, subject, severity, judged_by, since, affected, of, detail, seen_by",
)
_READY: Final = Judged(
    table="dmarc_ready",
    view="dmarc_readiness_steps",
    columns=(
        "policy_domain, scope, step, verdict, reasons, policy, published, own_messages, refused_messages, share,"
        " unknown_messages, reporters, days"
    ),
)
_JUDGED: Final = (_FOUND, _READY)


def make_days(client: Client, config: Config, domains: Sequence[str], start: date, end: date) -> None:
    """Sort the sources of days of domains into piles again; of one month, which is one partition."""
    some = names("domains", domains)
    which = f"policy_domain IN {some.sql} AND day BETWEEN {{start:Date}} AND {{end:Date}}"
    outcome = " + ".join(f"{1 << bit} * (daily.{column} > 0)" for bit, column in enumerate(_OUTCOMES))
    values = (*_SUMS, *_NAMES)
    summed = (
        *(f"sum(daily.{column}) AS {column}" for column in _SUMS),
        *(f"groupUniqArrayArray(100)(daily.{column}) AS {column}" for column in _NAMES),
    )
    _replace(
        client,
        config,
        table="dmarc_sources",
        columns=f"{_GROUP}, outcome, {', '.join(values)}",
        made=(
            f"SELECT {_GROUP}, toUInt8({outcome}) AS outcome, {', '.join(summed)}"
            f" FROM {config.clickhouse.database}.dmarc_source_piles AS daily WHERE {which} GROUP BY {_GROUP}, outcome"
        ),
        which=which,
        parameters={"start": start, "end": end, **some.parameters},
    )


def judge(client: Client, config: Config, domains: Sequence[str]) -> None:
    """Find again what needs attention in the days of domains, and which policy is safe for them."""
    some = names("domains", domains)
    which = f"policy_domain IN {some.sql}"
    views = config.clickhouse.database
    for judged in _JUDGED:
        source = f"{views}.{judged.view.format(views=views)}"
        _replace(
            client,
            config,
            table=judged.table,
            columns=judged.columns,
            made=f"SELECT {judged.columns} FROM {source} WHERE {which}",
            which=which,
            parameters=some.parameters,
        )


def _replace(
    client: Client, config: Config, *, table: str, columns: str, made: str, which: str, parameters: Mapping[str, object]
) -> None:
    """Put what is made in the place of the rows of a table that `which` selects; readers see the one or the other."""
    target = f"{config.clickhouse.tables_database}.{table}"
    client.command(
        f"""
        INSERT INTO {target} ({columns}, version, is_deleted)
        WITH toUInt64(toUnixTimestamp64Milli(now64(3))) AS now_ms
        SELECT *, now_ms AS version, 0 AS is_deleted FROM ({made})
        UNION ALL
        SELECT {columns}, now_ms - 1 AS version, 1 AS is_deleted FROM {target} FINAL WHERE {which}
        """,
        parameters=dict(parameters),
        settings=_QUIETLY,
    )
