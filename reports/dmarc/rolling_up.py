"""Keeps in tables what follows from DMARC reports: in which pile each message belongs, and what is judged of that.

In which pile a message belongs depends on what else is known: what passes on a day speaks for the sources of 30 days
before and 90 days after it, and `senders:`, `parked`, the catalogue and who counts speak for all. So once records are
stored, the days around theirs are made again; with a new day, the last 35; and with new rules, all. Made again is a
whole day of a domain, in one insert: readers see it as it was or as it is.

A round takes a small part of the time only, however much there is: the more was stored, the later the next one comes.
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from mailposture.clickhouse.parameters import names
from reports.dmarc import evidence
from reports.dmarc.keeping import judge, make_days

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date
    from ipaddress import IPv6Address

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

log = structlog.get_logger()

_LATELY: Final = 35  # days that follow who counts, day by day
_COMMITTED: Final = 60  # seconds that storing may take from noting its time until others see its rows
_RECORDS: Final = 100_000  # in one insert, unless a single day has more
_DOMAINS: Final = 5_000  # in one round: those that have waited longest; the next round has the others
_SHARE: Final = 20  # a round of a second is followed by twenty without
_AT_LEAST, _AT_MOST = 5.0, 600.0  # seconds between rounds


class Stale(NamedTuple):
    """A domain of which something is to be made again."""

    domain: str
    start: date  # the first day
    end: date  # the last one; before the first where nothing is stored about the domain
    rules: int  # that they are made by
    lately: int


def roll_up(client: Client, config: Config) -> float:
    """Make again what has changed, and return how many seconds the next round has time."""
    began = time.monotonic()
    ((started,),) = client.query("SELECT toString(now64(3, 'UTC'))").result_rows
    stale = _stale(client, config)
    for start, end in _spans(_records(client, config, [each for each in stale if each.start <= each.end])):
        domains = [each.domain for each in stale if each.start <= end and start <= each.end]
        make_days(client, config, domains, start, end)
    if stale:
        judge(client, config, [each.domain for each in stale])
    _remember(client, config, stale, started)
    took = time.monotonic() - began
    if stale:
        log.info("sorted sources into piles", domains=len(stale), seconds=round(took, 1))
    return min(_AT_MOST, max(_AT_LEAST, _SHARE * took))


def sources_changed(client: Client, config: Config, addresses: Sequence[IPv6Address], *, since: date) -> None:
    """Have the days since then on which these addresses sent made again in the next round."""
    tables = config.clickhouse.tables_database
    some = names("addresses", [str(address) for address in addresses])
    client.command(
        f"INSERT INTO {tables}.dmarc_days_stored"
        f" SELECT policy_domain, day, now64(3, 'UTC') FROM {tables}.dmarc_records"
        f" WHERE day >= {{since:Date}} AND source_ip IN (SELECT toIPv6(arrayJoin({some.sql})))"
        " GROUP BY policy_domain, day",
        parameters={"since": since, **some.parameters},
    )


def _stale(client: Client, config: Config) -> list[Stale]:
    """The domains of which something is to be made again."""
    views, tables = config.clickhouse.database, config.clickhouse.tables_database
    active, hashed = "FINAL WHERE active", "groupBitXor(cityHash64(* EXCEPT updated_at))"
    rows = client.query(
        f"""
        WITH
            (SELECT today FROM {views}.clock) AS today,
            (SELECT {hashed} FROM {tables}.sending_services {active}) AS of_services,
            (SELECT {hashed} FROM {tables}.sending_networks {active}) AS of_networks,
            (SELECT groupBitXor(cityHash64(toString(policy_domain), parked)) FROM {views}.domains) AS of_domains,
            cityHash64({{release:String}}, of_services, of_networks, of_senders, of_spf, is_parked) AS rules_now,
            cityHash64(today, of_domains, of_domain, of_acknowledgements) AS lately_now,
            rules != rules_now AS by_other_rules,
            lately != lately_now AS on_another_day
        SELECT
            domain,
            least(
                if(by_other_rules AND last_day > toDate(0), first_day, last_day + 1),
                if(on_another_day, greatest(first_day, today - {_LATELY}), last_day + 1),
                if(stored > 0, greatest(first_day, first_stored - {evidence.BEFORE}), last_day + 1)
            ) AS start,
            if(by_other_rules OR on_another_day, last_day, least(last_day, last_stored + {evidence.AFTER})) AS end,
            rules_now,
            lately_now
        FROM
        (
            SELECT toString(policy_domain) AS domain, groupBitXor(of_one) AS of_domain, max(parked) AS is_parked
            FROM
            (
                SELECT policy_domain, parked, cityHash64(* EXCEPT updated_at) AS of_one
                FROM {tables}.configured_domains {active}
                UNION ALL
                SELECT DISTINCT policy_domain, false, 0 FROM {tables}.dmarc_days_stored
                UNION ALL
                SELECT DISTINCT policy_domain, false, 0 FROM {tables}.dmarc_rolled_up
            )
            GROUP BY domain
        ) AS every
        LEFT JOIN
        (
            SELECT
                domain, min(day) AS first_day, max(day) AS last_day, countIf(stored_at >= since) AS stored,
                minIf(day, stored_at >= since) AS first_stored, maxIf(day, stored_at >= since) AS last_stored
            FROM (SELECT toString(policy_domain) AS domain, day, stored_at FROM {tables}.dmarc_days_stored) AS noted
            LEFT JOIN
            (
                SELECT toString(policy_domain) AS domain, rolled_up_at - {_COMMITTED} AS since
                FROM {tables}.dmarc_rolled_up FINAL
            ) AS kept USING (domain)
            GROUP BY domain
        ) AS days USING (domain)
        LEFT JOIN
        (
            SELECT toString(policy_domain) AS domain, rolled_up_at, rules, lately FROM {tables}.dmarc_rolled_up FINAL
        ) AS kept USING (domain)
        LEFT JOIN
        (
            SELECT toString(policy_domain) AS domain, {hashed} AS of_senders
            FROM {tables}.configured_senders {active}
            GROUP BY domain
        ) AS senders USING (domain)
        LEFT JOIN
        (
            SELECT
                toString(policy_domain) AS domain,
                groupBitXor(cityHash64(first_ip, last_ip, via, shared_service)) AS of_spf
            FROM {views}.spf_networks
            GROUP BY domain
        ) AS listed USING (domain)
        LEFT JOIN
        (
            SELECT
                toString(policy_domain) AS domain, groupBitXor(cityHash64(cause, subject, until)) AS of_acknowledgements
            FROM {views}.acknowledgements
            GROUP BY domain
        ) AS acknowledged USING (domain)
        WHERE by_other_rules OR on_another_day OR stored > 0
        ORDER BY rolled_up_at, domain
        LIMIT {_DOMAINS}
        """,
        parameters={"release": _release()},
    ).result_rows
    return [Stale(*row) for row in rows]


def _release() -> str:
    """What changes when a release sorts or words sources otherwise."""
    views = sorted((Path(__file__).parent / "schema" / "views").glob("*.sql"))
    words = repr(evidence.WORDS).encode()
    return hashlib.sha256(b"".join([words, *(view.read_bytes() for view in views)])).hexdigest()


def _records(client: Client, config: Config, stale: Sequence[Stale]) -> list[tuple[date, int]]:
    """The days that are to be made again, the newest first, each with the number of its records."""
    if not stale:
        return []
    some = names("domains", [each.domain for each in stale])
    return [
        (day, records)
        for day, records in client.query(
            f"SELECT day, count() FROM {config.clickhouse.tables_database}.dmarc_records"
            f" WHERE policy_domain IN {some.sql} AND day BETWEEN {{start:Date}} AND {{end:Date}}"
            " GROUP BY day ORDER BY day DESC",
            parameters={
                "start": min(each.start for each in stale),
                "end": max(each.end for each in stale),
                **some.parameters,
            },
        ).result_rows
    ]


def _spans(days: Sequence[tuple[date, int]]) -> Iterator[tuple[date, date]]:
    """Days that are made in one insert, first and last: of one month, which is one partition."""
    span: list[date] = []
    held = 0
    for day, records in days:
        if span and (held + records > _RECORDS or (day.year, day.month) != (span[-1].year, span[-1].month)):
            yield span[-1], span[0]
            span, held = [], 0
        span.append(day)
        held += records
    if span:
        yield span[-1], span[0]


def _remember(client: Client, config: Config, stale: Sequence[Stale], started: str) -> None:
    if stale:
        client.insert(
            "dmarc_rolled_up",
            [(each.domain, started, each.rules, each.lately) for each in stale],
            column_names=("policy_domain", "rolled_up_at", "rules", "lately"),
            database=config.clickhouse.tables_database,
        )
