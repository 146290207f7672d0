"""What the views promise: each report once, each session once, and days, domains and words as documented."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import DOMAIN, TODAY, YESTERDAY, days_ago

from mailposture.clickhouse.reference import write_domains
from reports.tls.failures import ALL_MEANINGS

if TYPE_CHECKING:
    from engine import Storage


def test_the_same_report_stored_again_counts_once(storage: Storage) -> None:
    for _ in range(3):
        storage.put("tls_policies", {"successful_sessions": 10, "failed_sessions": 2})
        storage.put("tls_failures", {"failed_sessions": 2})
        storage.put("tls_reports", {})
    assert storage.ask("SELECT successful_sessions, failed_sessions FROM tls_policies_daily") == [(10, 2)]
    assert storage.ask("SELECT successful_sessions, failed_sessions FROM tls_domain_daily") == [(10, 2)]
    assert storage.ask("SELECT failed_sessions FROM tls_failures_daily") == [(2,)]
    assert storage.ask("SELECT count() FROM tls_failure_details") == [(1,)]
    assert storage.ask("SELECT count() FROM tls_report_log") == [(1,)]
    assert storage.ask(f"SELECT reports_last_7_days FROM tls_freshness WHERE policy_domain = '{DOMAIN}'") == [(1,)]


def test_of_two_copies_the_more_trusted_stays(storage: Storage) -> None:
    storage.put("tls_policies", {"trust": "dkim", "version": 4, "successful_sessions": 1})
    storage.put("tls_policies", {"trust": "token", "version": 1, "successful_sessions": 1})
    assert storage.ask("SELECT trust, successful_sessions FROM tls_sender_daily") == [("dkim", 1)]


def test_sts_and_tlsa_of_one_report_are_shown_apart_and_counted_once(storage: Storage) -> None:
    storage.put(
        "tls_policies",
        {"policy_type": "sts", "policy_index": 0, "successful_sessions": 100},
        {"policy_type": "tlsa", "policy_index": 1, "successful_sessions": 100, "counts": False, "sts_mode": ""},
    )
    daily = "SELECT policy_type, successful_sessions FROM tls_policies_daily ORDER BY policy_type"
    assert storage.ask(daily) == [("sts", 100), ("tlsa", 100)]
    for view in ("tls_domain_daily", "tls_sender_daily"):
        assert storage.ask(f"SELECT sum(successful_sessions) FROM {view}") == [(100,)]
    counts = "SELECT policy_type, counts FROM tls_policies_daily ORDER BY policy_type"
    assert storage.ask(counts) == [("sts", True), ("tlsa", False)]


def test_details_that_another_policy_type_counts_are_not_added_up(storage: Storage) -> None:
    storage.put(
        "tls_failures",
        {"policy_type": "sts", "policy_index": 0, "failed_sessions": 3},
        {"policy_type": "tlsa", "policy_index": 1, "failed_sessions": 3, "counts": False},
    )
    assert storage.ask("SELECT sum(failed_sessions) FROM tls_failures_daily") == [(3,)]
    assert storage.ask("SELECT count(), countIf(counts) FROM tls_failure_details") == [(2, 1)]


def test_a_day_is_one_row_however_many_reports_there_are(storage: Storage) -> None:
    storage.put(
        "tls_policies",
        {"report_key": 1, "successful_sessions": 1},
        {"report_key": 2, "successful_sessions": 2},
        {"report_key": 3, "successful_sessions": 4, "organization": "Sender Two"},
        {"report_key": 4, "successful_sessions": 8, "day": days_ago(2)},
    )
    assert storage.ask("SELECT day, successful_sessions FROM tls_domain_daily ORDER BY day") == [
        (days_ago(2), 8),
        (YESTERDAY, 7),
    ]


def test_a_reporter_that_a_signature_and_then_the_mailboxs_server_proves_is_one(storage: Storage) -> None:
    """Whoever moves to a mailbox of Exchange keeps the reporters that have been known for years."""
    storage.accepted(DOMAIN, "a.example", "dkim", days_ago(30), days_ago(10))
    storage.accepted(DOMAIN, "a.example", "authserv", TODAY, TODAY)
    storage.accepted(DOMAIN, "a.example", "mailbox", TODAY, TODAY)
    counting = "SELECT trust, standing FROM tls_reporters WHERE reporter = 'a.example' ORDER BY trust"
    assert storage.ask(counting) == [("authserv", "established"), ("dkim", "established"), ("mailbox", "newcomer")]


def test_posts_are_shown_and_page_nobody(storage: Storage) -> None:
    forged = {"trust": "token", "version": 1, "report_key": 2}
    storage.put("tls_policies", {"successful_sessions": 1}, {**forged, "failed_sessions": 1000})
    storage.put("tls_failures", {**forged, "failed_sessions": 1000, "category": "starttls-not-supported"})
    assert storage.ask("SELECT failed_sessions FROM tls_domain_daily") == [(1000,)]
    counting = "SELECT trust, standing, counts FROM tls_reporters ORDER BY trust"
    assert storage.ask(counting) == [("dkim", "established", True), ("token", "post", False)]
    assert storage.ask("SELECT count() FROM tls_suspected_downgrades") == [(0,)]
    assert storage.ask("SELECT sum(would_be_refused) FROM mta_sts_readiness") == [(0,)]


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::", ""),
        ("::1", "::1"),
        ("2001:db8::ffff:1:2", "2001:db8::ffff:1:2"),
    ],
)
def test_addresses_are_shown_as_people_write_them(storage: Storage, stored: str, shown: str) -> None:
    storage.put("tls_failures", {"sending_mta_ip": stored, "receiving_ip": stored})
    assert storage.ask("SELECT sending_mta_ip, receiving_ip FROM tls_failure_details") == [(shown, shown)]


def test_failures_keep_category_severity_and_mode(storage: Storage) -> None:
    storage.put("tls_failures", {"failed_sessions": 4})
    row = storage.ask(
        "SELECT category, result_type, severity, sts_mode, receiving_mx, failed_sessions FROM tls_failure_details"
    )
    assert row == [("certificate", "certificate-expired", "critical", "enforce", "mx.example.com", 4)]


def test_a_report_is_found_from_a_failure_to_its_text(storage: Storage) -> None:
    key = 2**64 - 5  # more than a browser's numbers can hold
    storage.put("tls_reports", {"report_key": key, "original": '{"report-id": "a"}', "report_id": "a"})
    storage.put("tls_failures", {"report_key": key})
    found = storage.ask(
        "SELECT log.report_id, originals.original FROM tls_failure_details AS details"
        " INNER JOIN tls_report_log AS log USING (day, report_key)"
        " INNER JOIN tls_report_originals AS originals USING (day, report_key)"
    )
    assert found == [("a", '{"report-id": "a"}')]
    assert storage.ask("SELECT report_key FROM tls_report_log") == [(str(key),)]


def test_delay_is_from_the_end_of_the_period_to_arrival(storage: Storage) -> None:
    storage.put("tls_reports", {})
    assert storage.ask("SELECT delay_hours FROM tls_report_log") == [(2.0,)]


def test_freshness_tells_of_domains_without_reports_too(storage: Storage) -> None:
    storage.put(
        "tls_policies",
        {"report_key": 1, "policy_index": 0},
        {"report_key": 1, "policy_index": 1, "policy_type": "tlsa"},
        {"report_key": 2, "day": days_ago(3), "organization": "Sender Two"},
        {"report_key": 3, "day": days_ago(20), "organization": "Sender Three"},
    )
    rows = storage.ask(
        "SELECT policy_domain, last_report_day, reporters_last_7_days, reports_last_7_days,"
        " last_received_at FROM tls_freshness ORDER BY policy_domain"
    )
    assert rows == [
        ("example.com", YESTERDAY, 2, 2, datetime.combine(TODAY, datetime.min.time())),
        ("example.net", None, 0, 0, None),
    ]


def test_domains_that_leave_the_configuration_disappear_and_may_come_back(storage: Storage) -> None:
    fewer = storage.config.model_copy(update={"domains": storage.config.domains[:1]})
    names = "SELECT policy_domain FROM domains ORDER BY policy_domain"
    write_domains(storage.client(), fewer)
    assert storage.ask(names) == [("example.com",)]
    write_domains(storage.client(), fewer)
    assert storage.ask(names) == [("example.com",)]
    write_domains(storage.client(), storage.config)
    assert storage.ask(names) == [("example.com",), ("example.net",)]


def test_thresholds_are_those_of_the_configuration(storage: Storage) -> None:
    thresholds = storage.config.domains[0].thresholds
    second = timedelta(seconds=1)
    assert storage.ask(
        "SELECT team, failure_ratio_threshold, minimum_sessions, stale_after_seconds, certificate_expiry_seconds"
        f" FROM domains WHERE policy_domain = '{DOMAIN}'"
    ) == [
        (
            "mail",
            thresholds.failure_ratio,
            thresholds.minimum_sessions,
            thresholds.stale_after // second,
            thresholds.certificate_expiry // second,
        )
    ]


def test_every_column_that_a_view_promises_can_be_asked_for_by_its_name(storage: Storage) -> None:
    """A view whose query names a column in another way is created all the same, and fails only when it is asked."""
    columns = storage.ask(
        "SELECT table, groupArray(name) FROM system.columns WHERE database = 'mailposture' AND table IN ("
        "SELECT name FROM system.tables WHERE database = 'mailposture' AND engine = 'View'"
        " AND create_table_query NOT LIKE '%{end:Date}%') GROUP BY table ORDER BY table"
    )
    assert len(columns) > 20
    for view, names in columns:
        storage.ask(f"SELECT {', '.join(f'`{name}`' for name in names)} FROM {view} LIMIT 0")


def test_the_words_are_those_of_explain(storage: Storage) -> None:
    rows = storage.ask("SELECT term, kind, title, explanation, action FROM failure_meanings")
    assert sorted(rows) == sorted(
        (meaning.term, str(meaning.kind), meaning.title, meaning.explanation, meaning.action)
        for meaning in ALL_MEANINGS
    )


def test_where_a_caption_is_there_is_who_it_is(storage: Storage) -> None:
    """Anybody can call himself anything: `organization` alone says nothing."""
    columns = storage.ask(
        "SELECT table, groupArray(name) FROM system.columns WHERE database = 'mailposture' GROUP BY table"
    )
    named = {table: set(names) for table, names in columns if "organization" in names}
    assert {"tls_failures_daily", "tls_failure_details", "tls_report_log"} <= named.keys()
    assert [table for table, names in named.items() if not {"reporter", "reporter_proven"} <= names] == []


def test_filters_on_day_and_domain_reach_the_primary_key(storage: Storage) -> None:
    """Else every question would read every row."""
    storage.put("tls_policies", *({"day": days_ago(n), "report_key": n} for n in range(1, 91)))
    storage.put("tls_failures", *({"day": days_ago(n), "report_key": n} for n in range(1, 91)))
    storage.put("tls_reports", *({"day": days_ago(n), "report_key": n} for n in range(1, 91)))
    by_day = f"day >= toDate('{days_ago(2)}') AND day <= toDate('{TODAY}')"
    by_domain = f"{by_day} AND policy_domain = '{DOMAIN}'"
    for view, where in [
        ("tls_domain_daily", by_domain),
        ("tls_sender_daily", by_domain),
        ("tls_policies_daily", by_domain),
        ("tls_failures_daily", by_domain),
        ("tls_failure_details", by_domain),
        ("tls_report_log", by_day),
        ("tls_report_originals", by_day),
    ]:
        plan = "\n".join(row[0] for row in storage.ask(f"EXPLAIN indexes = 1 SELECT * FROM {view} WHERE {where}"))
        condition = plan.split("PrimaryKey", 1)[1]
        assert "day" in condition, view
        if where is by_domain:
            assert "policy_domain" in condition, view
        assert "Partition" in plan, view
