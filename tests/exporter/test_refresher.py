from __future__ import annotations

import gzip
import re
import threading
import time

import pytest
import structlog
from clickhouse_connect.driver.exceptions import DatabaseError
from prometheus_client import CollectorRegistry

from exporter.snapshot import Page, Refresher


class Answers:
    """Stands for ClickHouse: answers with a page, or fails as long as `fault` is set."""

    def __init__(self) -> None:
        self.page = "first\n"
        self.fault: Exception | None = None

    def __call__(self) -> str:
        if self.fault:
            raise self.fault
        return self.page


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def refresher(answers: Answers, registry: CollectorRegistry) -> Refresher:
    return Refresher(read=answers, knock=answers, without_reports="thresholds\n", every=60, registry=registry)


def test_before_the_first_answer_the_thresholds_are_served_and_the_reports_are_not_claimed(
    refresher: Refresher, registry: CollectorRegistry
) -> None:
    assert refresher.page.plain_with(b"") == b"thresholds\n"
    assert registry.get_sample_value("mailposture_reported_up") == 0
    assert registry.get_sample_value("mailposture_reported_age_seconds") is None
    assert refresher.fault == "ClickHouse has not answered yet"


def test_the_last_good_page_stays_and_ages_when_clickhouse_is_away(
    refresher: Refresher, answers: Answers, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresher.refresh()
    assert registry.get_sample_value("mailposture_reported_up") == 1
    assert refresher.fault is None

    answers.fault = ConnectionRefusedError("port 18123")
    refresher.refresh()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 600)

    assert refresher.page.plain_with(b"") == b"first\n"
    assert registry.get_sample_value("mailposture_reported_up") == 0
    age = registry.get_sample_value("mailposture_reported_age_seconds")
    assert age is not None
    assert 600 <= age < 660
    assert refresher.fault == "the reported metrics are 600 s old: port 18123"
    assert registry.get_sample_value("mailposture_reported_refreshes_total", {"outcome": "failure"}) == 1

    answers.fault, answers.page = None, "second\n"
    refresher.refresh()
    assert refresher.page.plain_with(b"") == b"second\n"
    assert registry.get_sample_value("mailposture_reported_up") == 1


def test_numbers_that_nobody_renews_are_not_relied_on(refresher: Refresher, monkeypatch: pytest.MonkeyPatch) -> None:
    refresher.refresh()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 299)
    assert refresher.fault is None
    monkeypatch.setattr(time, "time", lambda: now + 301)
    assert refresher.fault is not None
    assert "ClickHouse takes long to answer" in refresher.fault


def test_a_clickhouse_that_answers_no_more_is_noticed_before_the_next_renewal(
    refresher: Refresher, answers: Answers, registry: CollectorRegistry
) -> None:
    refresher.refresh()
    assert refresher.still_answers()
    answers.fault = TimeoutError("it accepts connections but does not respond")
    assert not refresher.still_answers()
    assert registry.get_sample_value("mailposture_reported_up") == 0
    assert re.fullmatch(r"the reported metrics are \d+ s old: it accepts .* not respond", refresher.fault or "")
    assert refresher.page.plain_with(b"") == b"first\n"

    answers.fault = None
    assert refresher.refresh()
    assert registry.get_sample_value("mailposture_reported_up") == 1


def test_between_two_renewals_the_thread_asks_whether_clickhouse_is_there(
    answers: Answers, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.snapshot._KNOCK", 0.01)
    reads, knocks = threading.Semaphore(0), threading.Semaphore(0)

    def read() -> str:
        reads.release()
        return "page\n"

    refresher = Refresher(read=read, knock=knocks.release, without_reports="", every=3600, registry=registry)
    refresher.start()
    try:
        assert all(knocks.acquire(timeout=60) for _ in range(3))
        assert reads.acquire(blocking=False)
        assert not reads.acquire(blocking=False)  # one renewal, and the next is an hour away
    finally:
        refresher.stop()


def test_the_first_line_of_what_clickhouse_says_is_the_fault(refresher: Refresher, answers: Answers) -> None:
    answers.fault = DatabaseError(
        "Received ClickHouse exception, code: 241, server response: Code: 241. DB::Exception: memory limit "
        "exceeded: would use 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)\nStack trace: …",
        code=241,
    )
    refresher.refresh()
    assert refresher.fault == (
        "Code: 241. DB::Exception: memory limit exceeded: would use 1.00 GiB. (MEMORY_LIMIT_EXCEEDED)"
    )


def test_the_same_fault_is_logged_once(refresher: Refresher, answers: Answers) -> None:
    with structlog.testing.capture_logs() as said:
        answers.fault = TimeoutError("port 18123")
        refresher.refresh()
        refresher.refresh()
        answers.fault = None
        refresher.refresh()
        refresher.refresh()
    assert [entry["event"] for entry in said] == ["reported metrics not renewed", "reported metrics renewed"]


def test_the_thread_goes_on_after_a_failure(answers: Answers, registry: CollectorRegistry) -> None:
    attempts = threading.Semaphore(0)

    def failing_once() -> str:
        attempts.release()
        if answers.fault:
            fault, answers.fault = answers.fault, None
            raise fault
        return answers.page

    answers.fault = TimeoutError()
    refresher = Refresher(read=failing_once, knock=lambda: None, without_reports="", every=0.01, registry=registry)
    refresher.start()
    try:
        assert all(attempts.acquire(timeout=60) for _ in range(3))
        assert refresher.page.plain_with(b"") == b"first\n"
        assert refresher.alive
    finally:
        refresher.stop()


def test_a_page_is_compressed_once_and_each_answer_is_one_whole_gzip_member() -> None:
    page = Page("tlsrpt_sessions 1\n" * 1000)
    for rest in (b"a 1\n", b"b 2\n"):
        answer = page.gzip_with(rest)
        assert gzip.decompress(answer) == page.plain_with(rest) == b"tlsrpt_sessions 1\n" * 1000 + rest
