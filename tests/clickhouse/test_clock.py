"""Today is one day for everybody: the view `clock` says which, in UTC."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engine import DOMAIN, TODAY, YESTERDAY, clock_view, days_ago, set_clock
from tree import files_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine import Storage

ROOT = Path(__file__).parents[2]
ASKS_THE_SERVER = re.compile(
    r"(?<![.\w])(?:today|yesterday|now|now64|nowInBlock|current_timestamp|current_date|curdate|UTCTimestamp)\(",
    re.IGNORECASE,
)
FAR_APART = ("Pacific/Kiritimati", "Pacific/Pago_Pago")  # UTC+14 and UTC-11: in one of them it is always another day
ALLOWED = {
    "mailposture/schema/views/01_clock.sql": 1,
    "mailposture/clickhouse/migrate.py": 1,  # how long ago a lock was made, by the clock of the server that made it
    # When something was stored, and what was made later than what: by the clock of the server that notes it.
    "reports/dmarc/keeping.py": 1,
    "reports/dmarc/rolling_up.py": 2,
    "reports/dmarc/schema/0016_dmarc_days_stored_filled.sql": 1,
    "reports/tls/failure_words.py": 1,  # a query to type, whose sessions are in UTC
}


def sources() -> Iterator[Path]:
    for folder in (init.parent for init in ROOT.glob("*/__init__.py")):
        yield from files_in(folder, ".py", ".sql", ".json")


def sql_in(path: Path) -> str:
    """The text of a file; of Python only what is in strings."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    strings = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    return "\n".join(each for each in strings if isinstance(each, str))


def test_no_sql_but_the_clock_asks_the_server_for_the_time() -> None:
    found = {str(path.relative_to(ROOT)): len(ASKS_THE_SERVER.findall(sql_in(path))) for path in sources()}
    assert {path: times for path, times in found.items() if times} == ALLOWED


@pytest.fixture
def real_clock(storage: Storage) -> Iterator[Storage]:
    storage.client().command(clock_view(storage.config))
    yield storage
    set_clock(storage.client(), storage.config)


@pytest.mark.parametrize("zone", FAR_APART)
def test_today_is_in_utc_whatever_the_time_zone_of_the_server_is(real_clock: Storage, zone: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    answer = real_clock.client().query("SELECT today, now FROM clock", settings={"session_timezone": zone})
    ((today, now),) = answer.result_rows
    after = datetime.now(UTC)
    assert before <= now.replace(tzinfo=UTC) <= after
    assert before.date() <= today <= after.date()


def test_sessions_of_our_users_are_in_utc(storage: Storage) -> None:
    """So that today() in a query typed by hand is the day that the views say."""
    for user in ("collector", "exporter", "analyst", "grafana"):
        assert storage.ask("SELECT timezone(), toString(toDateTime(0))", user) == [("UTC", "1970-01-01 00:00:00")]


def test_every_view_follows_the_clock(storage: Storage) -> None:
    """On the day after tomorrow, what was yesterday's is three days old."""
    storage.put("tls_policies", {"day": days_ago(6), "reported_policy_domain": DOMAIN, "successful_sessions": 1})
    storage.put("probe_results", {"probe": "mx", "success": False, "reason": "certificate-expired"})
    lately = f"SELECT reports_last_7_days FROM tls_freshness WHERE policy_domain = '{DOMAIN}'"
    faults = (
        "SELECT has(reasons, 'Our last probe of mx.example.com: certificate-expired.')"
        f" FROM mta_sts_readiness WHERE policy_domain = '{DOMAIN}'"
    )
    assert storage.ask(lately) == [(1,)]
    assert storage.ask(faults) == [(True,)]
    set_clock(storage.client(), storage.config, datetime.combine(TODAY + timedelta(days=2), datetime.min.time(), UTC))
    assert storage.ask(lately) == [(0,)]
    assert storage.ask(faults) == [(False,)]
    assert storage.ask("SELECT today FROM clock", "grafana") == [(YESTERDAY + timedelta(days=3),)]


@pytest.mark.parametrize("view", ["tls_freshness", "tls_suspected_downgrades", "mta_sts_readiness"])
def test_the_clock_is_read_once_so_that_days_select_partitions(storage: Storage, view: str) -> None:
    for months in range(12):
        storage.put("tls_policies", {"day": days_ago(30 * months + 1), "report_key": months})
        storage.put("tls_failures", {"day": days_ago(30 * months + 1), "report_key": months})
    plan = "\n".join(row[0] for row in storage.ask(f"EXPLAIN indexes = 1 SELECT * FROM {view}"))
    parts = re.findall(r"Min-Max\b.*?Parts: (\d+)/(\d+)", plan, re.DOTALL)
    assert parts
    assert all(int(read) <= 4 < int(there) for read, there in parts), plan
