"""How big a year of reports is, and how fast every view answers on it.

    python -m bench.queries                          1, 10 and 100 million policy rows: half an hour, 5 GB of disk
    python -m bench.queries --size 10m --keep DIR    one size; the year is made once and kept in DIR
    python -m bench.queries --reports dmarc          the same for records of DMARC reports

year_of_tls_reports.py and year_of_dmarc_reports.py make the year. Each view is asked as a dashboard asks it, by the
exporter's SQL user, for 30 days over all domains and over one domain; beside it a plain sum over the same rows, by the
user that may read tables; then come the exporter's own questions. Each is asked three times; the median counts.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickhouse_connect.driver.exceptions import DatabaseError

from bench import year_of_dmarc_reports, year_of_tls_reports
from bench.year_of_tls_reports import TODAY
from exporter.questions import QUESTIONS, Question
from mailposture.clickhouse import timeouts
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.faults import reason
from mailposture.clickhouse.migrate import migrate
from mailposture.clickhouse.reference import write_domains
from mailposture.config.model import Config
from reports.prepare import roll_up
from reports.schema_groups import SCHEMA_GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from clickhouse_connect.driver import Client

DOMAIN = "domain77.example"
REPEATS = 3
FLEET, ONE_DOMAIN = "all domains", "one domain"

_DAY = "day >= {start:Date} AND day < {today:Date}"
_SUMS = "sum(successful_sessions), sum(failed_sessions)"
# As a dashboard asks: the view, grouped by what a panel shows.
TLS_VIEWS = {
    "tls_domain_daily": f"SELECT day, {_SUMS} FROM tls_domain_daily WHERE {_DAY} {{and_domain}} GROUP BY 1",
    "tls_sender_daily": f"SELECT reporter, {_SUMS} FROM tls_sender_daily WHERE {_DAY} {{and_domain}} GROUP BY 1",
    "tls_policies_daily": f"SELECT sts_mode, {_SUMS} FROM tls_policies_daily WHERE {_DAY} {{and_domain}} GROUP BY 1",
    "tls_failures_daily": (
        f"SELECT day, category, sum(failed_sessions) FROM tls_failures_daily WHERE {_DAY} {{and_domain}} GROUP BY 1, 2"
    ),
    "tls_failure_details": (
        f"SELECT * FROM tls_failure_details WHERE {_DAY} {{and_domain}} ORDER BY failed_sessions DESC LIMIT 100"
    ),
    "tls_reporters": "SELECT * FROM tls_reporters WHERE 1 {and_domain}",
    "tls_suspected_downgrades": (
        f"SELECT * FROM tls_suspected_downgrades WHERE {_DAY} {{and_domain}} ORDER BY likelihood LIMIT 100"
    ),
    "mta_sts_suspected_downgrades": (
        f"SELECT * FROM mta_sts_suspected_downgrades WHERE {_DAY} {{and_domain}} ORDER BY likelihood LIMIT 100"
    ),
    "mta_sts_readiness": "SELECT * FROM mta_sts_readiness WHERE 1 {and_domain}",
    "tls_freshness": "SELECT * FROM tls_freshness WHERE 1 {and_domain}",
    "tls_report_log": (
        f"SELECT day, count(), avg(delay_hours) FROM tls_report_log WHERE {_DAY} {{and_has_domain}} GROUP BY 1"
    ),
    "tls_report_originals": f"SELECT * FROM tls_report_originals WHERE {_DAY} {{and_report}}",
    "domains": "SELECT * FROM domains WHERE 1 {and_domain}",
}
DMARC_VIEWS = {
    "dmarc_daily": (
        f"SELECT day, sum(messages), sum(passed_messages) FROM dmarc_daily WHERE {_DAY} {{and_domain}} GROUP BY 1"
    ),
    "dmarc_sources_daily": (
        "SELECT pile, source, sum(messages), sum(passed_messages) FROM dmarc_sources_daily"
        f" WHERE {_DAY} {{and_domain}} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100"
    ),
    "dmarc_source_piles": (
        "SELECT pile, source, sum(messages), sum(passed_messages) FROM dmarc_source_piles"
        f" WHERE {_DAY} {{and_domain}} GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100"
    ),
    "dmarc_record_details": (
        f"SELECT * FROM dmarc_record_details WHERE {_DAY} {{and_domain}} ORDER BY messages DESC LIMIT 100"
    ),
    "dmarc_selectors": "SELECT * FROM dmarc_selectors WHERE 1 {and_domain}",
    "dmarc_readiness_sources": "SELECT * FROM dmarc_readiness_sources WHERE 1 {and_domain}",
    "dmarc_readiness": "SELECT * FROM dmarc_readiness WHERE 1 {and_domain}",
    "dmarc_report_log": (
        f"SELECT day, count(), avg(delay_hours) FROM dmarc_report_log WHERE {_DAY} {{and_domain}} GROUP BY 1"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """A year of one kind of reports, and what is asked about it."""

    sizes: dict[str, tuple[int, int]]  # rows, domains
    table: str  # the rows are in
    kept: tuple[str, ...]  # tables made of it, which count in its size
    fill: Callable[..., None]
    plain: str  # a sum over the same rows, without a view
    views: dict[str, str]


YEARS = {
    "tls": Year(
        sizes={"1m": (1_000_000, 500), "10m": (10_000_000, 2_000), "100m": (100_000_000, 10_000)},
        table="tls_policies",
        kept=(),
        fill=year_of_tls_reports.fill,
        plain=f"SELECT day, {_SUMS} FROM mailposture_tables.tls_policies WHERE {_DAY} {{and_domain}} GROUP BY 1",
        views=TLS_VIEWS,
    ),
    "dmarc": Year(
        sizes={"1m": (1_000_000, 500), "10m": (10_000_000, 2_000), "100m": (100_000_000, 2_000)},
        table="dmarc_records",
        kept=("dmarc_sources",),
        fill=year_of_dmarc_reports.fill,
        plain=f"SELECT day, sum(messages) FROM mailposture_tables.dmarc_records WHERE {_DAY} {{and_domain}} GROUP BY 1",
        views=DMARC_VIEWS,
    ),
}
PLAIN = "a plain sum over the rows"

# What we promise (seconds; bytes).
LIMITS = {FLEET: 1.0, ONE_DOMAIN: 0.1}
BYTES_A_ROW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One size of the year."""

    rows: int
    domains: int
    bytes_a_row: float
    resident: int
    seconds: dict[tuple[str, str], float]
    questions: dict[str, float]


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--size", choices=YEARS["tls"].sizes, action="append", help="may be given several times; all if absent"
    )
    parser.add_argument("--reports", choices=YEARS, default="tls")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the filled engines are kept for the next run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mailposture-bench-") as temporary:
        kept = arguments.keep or Path(temporary)
        year = YEARS[arguments.reports]
        measured = [measure(kept / size, year, *year.sizes[size]) for size in arguments.size or year.sizes]
    print(report(measured))


def measure(folder: Path, year: Year, rows: int, domains: int) -> Measured:
    """Make the year unless the folder has it, and time every question on an engine that has just started."""
    names = [{"name": f"domain{number}.example"} for number in range(domains)]
    listen = {"http": "127.0.0.1:0", "native": "127.0.0.1:0"}
    config = Config.model_validate({"domains": names, "data": folder, "clickhouse": listen})
    collector, exporter = config.clickhouse.collector_user, config.clickhouse.exporter_user
    with EmbeddedEngine(config) as endpoint:
        client = connect(config, user=collector, endpoint=endpoint, silence=timeouts.WORK)
        migrate(client, config, SCHEMA_GROUPS)
        write_domains(client, config)
        if client.query(f"SELECT count() FROM mailposture_tables.{year.table}").result_rows == [(0,)]:
            began = time.perf_counter()
            year.fill(client, rows=rows, domains=domains)
            print(f"{rows:,} rows made in {time.perf_counter() - began:.0f} s", flush=True)
        began = time.perf_counter()
        roll_up(client, config)
        print(f"rolled up in {time.perf_counter() - began:.0f} s", flush=True)
        size = (
            "SELECT sum(total_bytes) / sumIf(total_rows, name = {t:String}) FROM system.tables"
            " WHERE database = {d:String} AND name IN {all:Array(String)}"
        )
        named = {"d": config.clickhouse.tables_database, "t": year.table, "all": [year.table, *year.kept]}
        bytes_a_row = float(client.query(size, parameters=named).result_rows[0][0])
    engine = EmbeddedEngine(config)
    reader = connect(config, user=exporter, endpoint=engine.start(), silence=timeouts.WORK)
    owner = connect(config, user=collector, silence=timeouts.WORK)
    days = {"start": TODAY - timedelta(days=30), "today": TODAY}
    try:
        seconds = {
            (name, span): median_seconds(client, narrowed(sql, filters), days)
            for name, (client, sql) in {
                PLAIN: (owner, year.plain),
                **{view: (reader, sql) for view, sql in year.views.items()},
            }.items()
            for span, filters in SPANS.items()
        }
        questions = {asked_for(question): median_seconds(reader, question.sql, {}) for question in QUESTIONS}
        resident = resident_bytes(engine.pid)
    finally:
        reader.close()
        owner.close()
        engine.stop()
    return Measured(
        rows=rows, domains=domains, bytes_a_row=bytes_a_row, resident=resident, seconds=seconds, questions=questions
    )


SPANS = {
    FLEET: {"and_domain": "", "and_has_domain": "", "and_report": "AND report_key = '1'"},
    ONE_DOMAIN: {
        "and_domain": f"AND policy_domain = '{DOMAIN}'",
        "and_has_domain": f"AND has(policy_domains, '{DOMAIN}')",
        "and_report": f"AND day = '{TODAY - timedelta(days=2)}' AND report_key = '1'",
    },
}


def narrowed(sql: str, filters: dict[str, str]) -> str:
    """A question with its places for filters filled in; {start:Date} and the like stay for ClickHouse."""
    for place, condition in filters.items():
        sql = sql.replace(f"{{{place}}}", condition)
    return sql


def median_seconds(client: Client, sql: str, parameters: dict[str, Any]) -> float:
    """How long an answer takes, from question to last byte; infinite where it does not fit into the engine's memory."""
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        try:
            client.raw_query(sql, parameters=parameters)
        except DatabaseError as error:
            print(f"no answer: {reason(error)}", flush=True)
            return math.inf
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def asked_for(question: Question) -> str:
    """The first metric that a question of the exporter fills."""
    return question.columns[0].gauge.name


def resident_bytes(pid: int | None) -> int:
    """Memory of the engine's process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def report(measured: list[Measured]) -> str:
    """A Markdown table; what misses a limit is marked."""
    heads = [f"{one.rows / 1e6:.0f} M rows, {one.domains:,} domains" for one in measured]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(measured) + 1) + "|"]

    def line(title: str, cells: list[str]) -> None:
        lines.append(f"| {title} | " + " | ".join(cells) + " |")

    line("bytes a row", [_judged(one.bytes_a_row, BYTES_A_ROW, "{:.1f}") for one in measured])
    line(
        "engine, resident MB",
        [_judged(one.resident / 1e6, 500 if one.rows <= 1e7 else 1e9, "{:.0f}") for one in measured],
    )
    for view in dict.fromkeys(view for view, _ in measured[0].seconds):
        cells = []
        for one in measured:
            fleet, domain = (_judged(one.seconds[view, span] * 1000, LIMITS[span] * 1000, "{:.0f}") for span in SPANS)
            cells.append(f"{fleet} / {domain} ms")
        line(view if view == PLAIN else f"`{view}`", cells)
    for question in map(asked_for, QUESTIONS):
        line(f"exporter: `{question}`", [f"{one.questions[question] * 1000:.0f} ms" for one in measured])
    line("exporter: all", [_judged(sum(one.questions.values()) * 1000, 1000, "{:.0f}") + " ms" for one in measured])
    return "\n".join(lines)


def _judged(value: float, limit: float, form: str) -> str:
    text = form.format(value)
    return text if value <= limit else f"**{text}**"


if __name__ == "__main__":
    main()
