"""Fixtures on the real engine, for all tests: `storage` is one engine for each worker, without rows for each test."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from clock import NOW, REAL_TODAY, TODAY

from mailposture.clickhouse import schema_steps
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.clickhouse.migrate import migrate
from mailposture.clickhouse.reference import write_domains
from mailposture.config.model import Config
from mailposture.records.dmarc import ALL_MAIL, Policy, applied
from reports.dmarc.senders import write_senders
from reports.dmarc.words import write_meanings
from reports.prepare import roll_up
from reports.schema_groups import SCHEMA_GROUPS
from reports.tls.meanings import write_failure_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.engine_files import Endpoint

YESTERDAY = TODAY - timedelta(days=1)
DOMAIN = "example.com"
_CLOCK_OF_THE_SERVER = "now('UTC')"
_ROOM_IN_MEMORY = 1 << 30  # bytes; an engine of some tests has tens of megabytes
_FILLED = "SELECT name, total_rows FROM system.tables WHERE database = {database:String} AND total_rows > 0"
_OF_THE_VERSION = ("schema_steps", "failure_words", "sending_services", "sending_networks", "dmarc_words")


def engine_config(data: Path, **changes: Any) -> Config:
    """A configuration whose embedded engine listens on ports that nobody else has."""
    clickhouse = {"http": "127.0.0.1:0", "native": "127.0.0.1:0", **changes.pop("clickhouse", {})}
    domains = changes.pop("domains", [{"name": DOMAIN}, {"name": "example.net"}])
    return Config.model_validate({"domains": domains, "data": data, "clickhouse": clickhouse, **changes})


@dataclass(kw_only=True)
class Storage:
    """A migrated database, and short ways to put rows in and to get answers out."""

    config: Config
    endpoint: Endpoint
    _clients: dict[str, Client] = field(default_factory=dict)
    _put: bool = False  # since sources were sorted
    _emptied: Sequence[Any] = ()  # what there was then

    def client(self, role: str = "collector") -> Client:
        """A client of an SQL user: collector, exporter, analyst, grafana. Sources are sorted into piles by then."""
        if self._put:
            self.roll_up()
        return self.unsorted(role)

    def unsorted(self, role: str = "collector") -> Client:
        """The same for who asks for no piles: to sort takes longer than most tests."""
        if role not in self._clients:
            user = getattr(self.config.clickhouse, f"{role}_user")
            self._clients[role] = connect(self.config, user=user, endpoint=self.endpoint)
        return self._clients[role]

    def ask(self, query: str, role: str = "collector", **parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return [tuple(row) for row in self.client(role).query(query, parameters=parameters).result_rows]

    def put(self, table: str, *rows: dict[str, Any], known: bool = True) -> None:
        """Insert rows of a table; what a row does not name has the default below.

        Each organization is a reporter of its own, which has been known for months unless `known` is false.
        """
        columns = [{**_DEFAULTS[table], **_implied(table, row), **row} for row in rows]
        names = list(columns[0])
        self._insert(table, [[row[name] for name in names] for row in columns], names)
        if known and table in ("tls_policies", "tls_failures"):
            who = {(row["policy_domain"], row["reporter"], row["trust"]) for row in columns}
            for policy_domain, reporter, trust in who:
                self.accepted(policy_domain, reporter, trust, days_ago(90), TODAY)
        if known and table == "dmarc_records":
            who = {(row["policy_domain"], row["reporter"], row["trust"]) for row in columns}
            for policy_domain, reporter, trust in who:
                self.accepted(policy_domain, reporter, trust, days_ago(90), TODAY, kind="dmarc")

    def roll_up(self) -> None:
        """Have sources sorted into piles."""
        self._put = False
        roll_up(self.unsorted(), self.config)

    def accepted(
        self, policy_domain: str, reporter: str, trust: str, first: date, last: date, *, kind: str = "tls"
    ) -> None:
        """Have a reporter's reports accepted on two days of arrival."""
        midnights = (datetime.combine(day, datetime.min.time(), UTC) for day in (first, last))
        row = (policy_domain, reporter, trust, *midnights)
        names = ("policy_domain", "reporter", "trust", "first_arrival", "last_arrival")
        self._insert(f"{kind}_reporter_arrivals", [row], names)

    def _insert(self, table: str, rows: Sequence[Sequence[Any]], names: Sequence[str]) -> None:
        self._put = self._put or table.startswith("dmarc")
        self.unsorted().insert(table, rows, column_names=names, database=self.config.clickhouse.tables_database)

    def empty(self) -> None:
        """Forget all rows, and have the configured domains and the words again, and the tests' day for today."""
        self._put = False
        if self._state() == self._emptied:
            return  # most tests only read
        client, database = self.unsorted(), self.config.clickhouse.tables_database
        for table, _ in client.query(_FILLED, parameters={"database": database}).result_rows:
            if table not in _OF_THE_VERSION:
                client.command(f"TRUNCATE TABLE {database}.{table}")
        write_domains(client, self.config)
        write_senders(client, self.config)
        write_meanings(client, self.config)
        write_failure_words(client, self.config)
        set_clock(client, self.config)
        self._emptied = self._state()

    def _state(self) -> Sequence[Any]:
        """What is there: another answer once anything was written, or the clock was set."""
        databases = self.config.clickhouse
        # Domains may have been written over, which leaves as many rows, but not of the same time.
        query = f"""
            SELECT
                (SELECT arraySort(groupArray((name, total_rows))) FROM ({_FILLED})),
                (SELECT create_table_query FROM system.tables WHERE database = {{views:String}} AND name = 'clock'),
                (SELECT groupBitXor(cityHash64(*)) FROM {databases.tables_database}.configured_domains)
        """
        names = {"database": databases.tables_database, "views": databases.database}
        return self.unsorted().query(query, parameters=names).first_row


def clock_view(config: Config) -> str:
    """The statement that makes the view `clock`."""
    (sql,) = [step.sql for step in schema_steps.views(SCHEMA_GROUPS, config.clickhouse) if step.view == "clock"]
    return sql


def set_clock(client: Client, config: Config, now: datetime = NOW) -> None:
    """Have the database take a moment for now."""
    _replace_clock(client, config, f"toDateTime('{now:%Y-%m-%d %H:%M:%S}', 'UTC')")


def keep_day(client: Client, config: Config) -> None:
    """Have the database take the real time for now, until the day on which the tests began is over."""
    _replace_clock(client, config, f"least({_CLOCK_OF_THE_SERVER}, toDateTime('{REAL_TODAY} 23:59:59', 'UTC'))")


def _replace_clock(client: Client, config: Config, now: str) -> None:
    view = clock_view(config)
    assert _CLOCK_OF_THE_SERVER in view
    client.command(view.replace(_CLOCK_OF_THE_SERVER, now))


_POLICY: dict[str, Any] = {
    "policy_domain": DOMAIN,
    "day": YESTERDAY,
    "report_key": 1,
    "policy_index": 0,
    "reporter": "sender-one.example",
    "reporter_proven": True,
    "organization": "Sender One",
    "policy_type": "sts",
    "sts_mode": "enforce",
    "counts": True,
    "trust": "dkim",
    "version": 3,
}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "tls_policies": {**_POLICY, "mx_hosts": ["mx.example.com"], "successful_sessions": 0, "failed_sessions": 0},
    "tls_failures": {
        **_POLICY,
        "failure_index": 0,
        "result_type": "certificate-expired",
        "category": "certificate",
        "severity": "critical",
        "sending_mta_ip": "::ffff:192.0.2.1",
        "receiving_mx": "mx.example.com",
        "receiving_ip": "::",
        "failed_sessions": 1,
    },
    "tls_reports": {
        "day": YESTERDAY,
        "report_key": 1,
        "reporter": "sender-one.example",
        "reporter_proven": True,
        "organization": "Sender One",
        "period_start": datetime.combine(YESTERDAY, datetime.min.time(), UTC),
        "period_end": datetime.combine(TODAY, datetime.min.time(), UTC),
        "received_at": datetime.combine(TODAY, datetime.min.time(), UTC) + timedelta(hours=2),
        "source": "smtp",
        "trust": "dkim",
        "policy_domains": [DOMAIN],
        "original": "{}",
        "version": 3,
    },
    "dmarc_reports": {
        "day": YESTERDAY,
        "report_key": 1,
        "reporter": "sender-one.example",
        "reporter_proven": True,
        "organization": "Sender One",
        "period_start": datetime.combine(YESTERDAY, datetime.min.time(), UTC),
        "period_end": datetime.combine(TODAY, datetime.min.time(), UTC),
        "received_at": datetime.combine(TODAY, datetime.min.time(), UTC) + timedelta(hours=2),
        "source": "smtp",
        "trust": "dkim",
        "policy_domains": [DOMAIN],
        "published_domain": DOMAIN,
        "p": "none",
        "pct": ALL_MAIL,
        "testing": "",
        "original": "<feedback/>",
        "version": 3,
    },
    "dmarc_records": {
        "policy_domain": DOMAIN,
        "day": YESTERDAY,
        "report_key": 1,
        "record_index": 0,
        "reporter": "sender-one.example",
        "reporter_proven": True,
        "organization": "Sender One",
        "header_from": DOMAIN,
        "source_ip": "::ffff:192.0.2.1",
        "messages": 1,
        "passed": True,
        "dkim_aligned": True,
        "spf_aligned": False,
        "evaluated": True,
        "disposition": "none",
        "published_policy": "none",
        "reasons": [],
        "comments": [],
        "trust": "dkim",
        "version": 3,
    },
    "probe_results": {
        "day": YESTERDAY,
        "policy_domain": DOMAIN,
        "probe": "mx",
        "probed_at": datetime.combine(YESTERDAY, datetime.min.time(), UTC),
        "receiving_mx": "mx.example.com",
        "receiving_ip": "::ffff:203.0.113.1",
        "success": True,
    },
    "rejections": {
        "received_at": datetime.combine(YESTERDAY, datetime.min.time(), UTC),
        "held_id": "1",
        "source": "smtp",
        "reason": "empty",
    },
}


def _implied(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """The reporter of a row that names an organization, and whether it is proven; the domain whose policy applied."""
    named = {"reporter": f"{row['organization'].lower().replace(' ', '-')}.example"} if "organization" in row else {}
    proven = {"reporter_proven": row["trust"] == "dkim"} if "trust" in row else {}
    published = {"published_domain": row.get("policy_domain", DOMAIN)} if table == "dmarc_records" else {}
    return {**named, **proven, **published, **(_applied(row) if table == "dmarc_reports" else {})}


def _applied(row: dict[str, Any]) -> dict[str, str]:
    """What receivers apply of a policy."""
    p = row.get("p", "none")
    reserved = {"testing": row.get("testing") == "y", "share": row.get("pct", ALL_MAIL)}
    policies = {"applied_policy": p, "applied_subdomain_policy": row.get("sp", p)}
    return {name: applied(Policy(policy), **reserved).value for name, policy in policies.items()}


def days_ago(days: int) -> date:
    """A report day."""
    return TODAY - timedelta(days=days)


@pytest.fixture(scope="session")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the files of engines, which mostly wait for the disk: in memory, where there is room for them."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < _ROOM_IN_MEMORY:
        yield tmp_path_factory.mktemp("engines")
        return
    with TemporaryDirectory(dir=memory, prefix="mailposture-tests-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def engine(in_memory: Path) -> Iterator[Storage]:
    """One engine for all that a worker tests, migrated."""
    config = engine_config(in_memory / "engine")
    with EmbeddedEngine(config) as endpoint:
        storage = Storage(config=config, endpoint=endpoint)
        migrate(storage.client(), config, SCHEMA_GROUPS)
        yield storage


@pytest.fixture
def storage(engine: Storage) -> Storage:
    """The engine without any rows but the configured domains and the words."""
    engine.empty()
    return engine
