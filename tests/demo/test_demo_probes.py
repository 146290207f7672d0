"""The demo's probes saw what the demo's senders report, and write it as the exporter does."""

from __future__ import annotations

from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pytest
import yaml
from clock import NOW, ODD_DAYS

from demo.config import config_text
from demo.domains import DOMAINS
from demo.probes import ProbeRow, probe_rows, write_probes
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from mailposture.config.file import load
from reports.prepare import prepare

if TYPE_CHECKING:
    from mailposture.config.model import Config


@pytest.fixture(scope="module")
def rows():
    return list(probe_rows(NOW))


@pytest.mark.parametrize("today", [NOW.date(), *ODD_DAYS], ids=str)
def test_probes_find_the_faults_that_senders_report_on_the_same_days_and_no_others(today):
    faults = {}  # days ago, by what was probed and why it failed
    for row in probe_rows(datetime.combine(today, time(12), UTC)):
        if not row.success:
            faults.setdefault((row.receiving_mx or row.policy_domain, row.reason), set()).add((today - row.day).days)
    slow_days = faults.pop(("mx2.clinic.example", "timeout"))
    assert faults == {
        ("mx2.shop.example", "certificate-expired"): {8, 9},
        ("news.example", "policy-status"): {11, 12, 13, 14},
        ("mx-old.travel.example", "certificate-host-mismatch"): set(range(18, 32)),
        ("mx1.univ.example", "tlsa-mismatch"): {4, 5},
        ("oldbank.example", "parked-but-not-rejected"): set(range(13)),
    }
    assert slow_days <= set(range(11))
    assert len(slow_days) > 6


def test_slow_server_becomes_slower(rows):
    seconds = {
        days: [
            row.duration_seconds
            for row in rows
            if row.receiving_mx == "mx2.clinic.example" and (NOW.date() - row.day).days == days
        ]
        for days in (1, 7, 20)
    }
    mean = {days: sum(each) / len(each) for days, each in seconds.items()}
    assert mean[1] > mean[7] > mean[20]


def test_every_server_offers_starttls_all_the_time(rows):
    visits = [row for row in rows if row.probe == "mx"]
    assert {row.receiving_mx for row in visits} == {mx for domain in DOMAINS for mx in domain.mx}
    assert all(row.starttls_offered for row in visits)


def test_certificates_are_accepted_only_while_they_are_valid_and_for_the_host(rows):
    for row in rows:
        if row.certificate_not_after is not None:
            in_date, names_host = row.certificate_not_after > row.probed_at, row.receiving_mx in row.certificate_names
            assert row.certificate_valid is (in_date and names_host)


def test_policy_and_record_change_together(rows):
    served = {
        (NOW.date() - row.day).days: (row.sts_mode, row.sts_record_id)
        for row in rows
        if row.policy_domain == "travel.example" and row.probe == "mta-sts"
    }
    assert {mode for days, (mode, _) in served.items() if days <= 7} == {"enforce"}
    assert {mode for days, (mode, _) in served.items() if days > 7} == {"testing"}
    assert len(set(served.values())) == 2


def test_month_ends_now_and_is_the_same_each_time(rows):
    assert min(row.day for row in rows) == NOW.date() - timedelta(days=31)
    assert NOW - timedelta(hours=3) < max(row.probed_at for row in rows) <= NOW
    assert rows == list(probe_rows(NOW))


def test_rows_are_clearly_made_up(rows):
    assert all(row.detail.endswith("(demo)") for row in rows)


@pytest.mark.slow
def test_exporters_sql_user_writes_them_once_however_often(tmp_path, rows):
    settings = yaml.safe_load(config_text(nameserver="127.0.0.1@9"))
    settings["clickhouse"] = {"http": "127.0.0.1:0", "native": "127.0.0.1:0"}
    file = tmp_path / "mailposture.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    config: Config = load(file)
    with EmbeddedEngine(config) as endpoint:
        with closing(connect(config, user=config.clickhouse.collector_user, endpoint=endpoint)) as collector:
            prepare(collector, config)
        with closing(connect(config, user=config.clickhouse.exporter_user, endpoint=endpoint)) as exporter:
            tables = config.clickhouse.tables_database
            assert [write_probes(exporter, NOW, database=tables) for _ in range(2)] == [len(rows)] * 2
        with closing(connect(config, user=config.clickhouse.collector_user, endpoint=endpoint)) as collector:
            assert collector.command("SELECT count() FROM mailposture_tables.probe_results FINAL") == len(rows)
            columns = [
                name for (name, *_) in collector.query("DESCRIBE TABLE mailposture_tables.probe_results").result_rows
            ]
            assert columns == [field.name for field in fields(ProbeRow)]
            addresses = collector.query("SELECT DISTINCT receiving_ip FROM probe_results_daily WHERE probe = 'mx'")
            assert ("203.0.113.1",) in addresses.result_rows
