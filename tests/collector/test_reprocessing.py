"""Stored reports read again: rows as today's code makes them, and all that the original does not say as it was."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from engine import DOMAIN
from ingesting import report
from test_copies import posted, proven

from collector import reprocessing
from collector.ingest.writer import Writer
from collector.reprocessing import Reprocessor
from reports.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine import Storage

    from reports.rows import Rows

pytestmark = pytest.mark.slow

DAY = date(2026, 11, 1)
LATER = datetime(2026, 11, 20, 9, tzinfo=UTC)
TABLES = ("tls_policies", "tls_failures", "tls_reports")


def writer(storage: Storage) -> Writer:
    return Writer(client=storage.client(), database="mailposture_tables")


def reprocessor(storage: Storage) -> Reprocessor:
    return Reprocessor(client=storage.client(), database="mailposture_tables")


def run(storage: Storage) -> tuple[int, int, int]:
    """How many reports were read, changed, and left."""
    one = reprocessor(storage)
    accounts = list(one.run(one.days(DAY, LATER.date())))
    return tuple(sum(getattr(each, name) for each in accounts) for name in ("reports", "changed", "unreadable"))  # type: ignore[return-value]


def stored(storage: Storage) -> list[list[tuple[Any, ...]]]:
    return [storage.ask(f"SELECT * FROM mailposture_tables.{table} FINAL ORDER BY ALL") for table in TABLES]


def as_before(rows: Rows) -> Rows:
    """The rows that another release would have made of a report: other words, other counts, and one failure more."""
    policies, failures = rows.parts
    old = [row._replace(category="unknown", severity="info") for row in failures]
    old.append(old[-1]._replace(failure_index=7, failed_sessions=1000))
    policies = tuple(row._replace(sts_mode="", failed_sessions=row.failed_sessions + 1) for row in policies)
    return rows._replace(report=rows.report._replace(failed_sessions=99), parts=(policies, tuple(old)))


def some_reports() -> list[Rows]:
    unnamed = orjson.loads(report(4, failed=5))
    del unnamed["policies"][0]["policy"]["policy-domain"]
    return [
        proven("sender.example"),
        proven("another.example", report(2, failed=2)),
        posted(report(3, failed=3)),
        posted(orjson.dumps(unnamed)),  # what it is about, only the path of the post said
    ]


def test_rows_become_those_of_today_and_what_is_known_besides_stays(storage: Storage) -> None:
    writer(storage).write(some_reports())
    today = stored(storage)
    storage.empty()
    writer(storage).write(map(as_before, some_reports()))
    assert stored(storage) != today
    assert run(storage) == (4, 4, 0)
    assert stored(storage) == today
    assert storage.ask(f"SELECT sum(failed_sessions) FROM tls_failures_daily WHERE policy_domain = '{DOMAIN}'") == [
        (13,)
    ]


def test_what_is_right_already_is_only_read(storage: Storage) -> None:
    def parts() -> list[Any]:
        return [storage.ask(f"SELECT DISTINCT _part FROM mailposture_tables.{table} ORDER BY 1") for table in TABLES]

    writer(storage).write(some_reports())
    before = parts()
    assert run(storage) == (4, 0, 0)
    assert parts() == before


def test_only_the_days_that_are_asked_for_are_read(storage: Storage) -> None:
    writer(storage).write(
        as_before(proven("sender.example", report(n, failed=1, day=f"2026-10-{n}"))) for n in (10, 20, 30)
    )
    one = reprocessor(storage)
    days = one.days(date(2026, 10, 11), date(2026, 10, 20))
    assert days == [date(2026, 10, 20)]
    list(one.run(days))
    changed = storage.ask("SELECT day FROM tls_failures_daily WHERE category = 'certificate'")
    assert changed == [(date(2026, 10, 20),)]


class Dying:
    """A client whose process is killed before its nth statement that changes something."""

    def __init__(self, client: Any, after: int) -> None:
        self._client = client
        self._left = after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._counted(found) if name in ("insert_arrow", "command") else found

    def _counted(self, found: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if self._left == 0:
                raise OperationalError("killed")
            self._left -= 1
            return found(*arguments, **more)

        return call


def test_killed_at_any_point_it_ends_well_the_next_time(storage: Storage) -> None:
    writer(storage).write(some_reports())
    today = stored(storage)
    killed = 0
    for after in range(10):
        storage.empty()
        writer(storage).write(map(as_before, some_reports()))
        dying = Reprocessor(client=Dying(storage.client(), after), database="mailposture_tables")  # type: ignore[arg-type]
        try:
            list(dying.run([DAY]))
        except OperationalError:
            killed += 1
        run(storage)
        assert stored(storage) == today, after
    assert 3 <= killed < 10, "it was killed at each statement, and not in the end"


@pytest.mark.parametrize(("most", "size"), [(1, 10**9), (500, 1), (3, 10**9)])
def test_few_reports_at_a_time_come_to_the_same(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, most: int, size: int
) -> None:
    monkeypatch.setattr(reprocessing, "_BATCH_REPORTS", most)
    monkeypatch.setattr(reprocessing, "_BATCH_BYTES", size)
    monkeypatch.setattr("mailposture.clickhouse.parameters._AT_ONCE", 1)
    writer(storage).write(some_reports())
    today = stored(storage)
    storage.empty()
    writer(storage).write(map(as_before, some_reports()))
    assert run(storage) == (4, 4, 0)
    assert stored(storage) == today


def test_a_report_that_today_is_rejected_stays_as_it_is(storage: Storage) -> None:
    rows = as_before(proven("sender.example"))
    writer(storage).write([rows._replace(report=rows.report._replace(original=b'{"policies": 1}'))])
    before = stored(storage)
    account, *of_other_kinds = reprocessor(storage).run([DAY])
    assert not any(other.reports for other in of_other_kinds)
    assert (account.reports, account.changed, account.unreadable) == (1, 0, 1)
    (why,) = account.first_unreadable
    assert why.startswith(f"report {rows.report.report_key} about 2026-11-01: ")
    assert stored(storage) == before


def test_a_fault_of_ours_in_one_report_stops_no_other(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    writer(storage).write(map(as_before, some_reports()))
    broken = proven("sender.example").report.report_key
    whole = reprocessing.rebuilt

    def rebuilt(stored: Rows, kind: Any) -> Rows:
        if stored.report.report_key == broken:
            raise IndexError
        return whole(stored, kind)

    monkeypatch.setattr(reprocessing, "rebuilt", rebuilt)
    assert run(storage) == (4, 3, 1)


def test_a_better_proven_copy_that_comes_meanwhile_is_the_one_that_stays(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer(storage).write([as_before(posted())])
    better = proven("signer.example")
    assert better.report.report_key != posted().report.report_key
    write_again = Writer.write_again

    def late(self: Writer, tables: Any, reports: Sequence[Rows]) -> None:
        monkeypatch.setattr(Writer, "write_again", write_again)
        assert writer(storage).write([better]) == 1
        write_again(self, tables, reports)

    monkeypatch.setattr(Writer, "write_again", late)
    run(storage)
    assert storage.ask("SELECT reporter, trust FROM mailposture_tables.tls_reports FINAL") == [
        ("signer.example", "dkim")
    ]
    assert storage.ask("SELECT reporter, sum(failed_sessions) FROM tls_sender_daily GROUP BY ALL") == [
        ("signer.example", 3)
    ]


def test_every_kind_keeps_what_reprocessing_needs() -> None:
    for kind in KINDS:
        assert "original" in kind.tables.report.columns
        for table in (*kind.tables.parts, kind.tables.report):
            assert {"day", "report_key", "version"} <= set(table.columns), table.name
