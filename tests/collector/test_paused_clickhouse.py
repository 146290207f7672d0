"""A ClickHouse that takes connections and never answers: everybody says so soon, and the collector stays well."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner
from clickhouse_connect.driver.exceptions import OperationalError
from engine import engine_config
from eventually import eventually
from ingesting import arrived, report
from prometheus_client import CollectorRegistry

from cli.main import main
from collector.ingest.afterwards import Afterwards
from collector.ingest.following import Following
from collector.ingest.service import Upkeep, keep_storing
from exporter.asking import Asking
from exporter.snapshot import Refresher
from mailposture.clickhouse import timeouts
from mailposture.clickhouse.client import StorageError, connect
from mailposture.clickhouse.embedded import EmbeddedEngine
from reports.prepare import prepare
from reports.reloading import Reloading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mailposture.clickhouse.engine_files import Endpoint
    from mailposture.config.model import Config

pytestmark = pytest.mark.slow

SILENT = "accepts connections but does not respond"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(timeouts, "SILENCE", 1)
    monkeypatch.setattr(timeouts, "KNOCK", 1)


class Pausable:
    """An engine whose process can be stopped, reached as a server or as the embedded engine of its folder."""

    def __init__(self, engine: EmbeddedEngine, config: Config, endpoint: Endpoint) -> None:
        self._engine = engine
        self.embedded = config
        clickhouse = {"url": endpoint.url, "passwords": endpoint.passwords}
        self.server = engine_config(config.data.parent / "data", clickhouse=clickhouse)

    @contextmanager
    def paused(self) -> Iterator[None]:
        pid = self._engine.pid
        assert pid
        threads = Path(f"/proc/{pid}/task")
        os.kill(pid, signal.SIGSTOP)
        try:  # each thread stops when it next enters the kernel
            eventually("all threads stand still", lambda: all(_state(thread) == "T" for thread in threads.iterdir()))
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory) -> Iterator[Pausable]:
    config = engine_config(tmp_path_factory.mktemp("pausable") / "engine")
    engine = EmbeddedEngine(config)
    endpoint = engine.start()
    try:
        prepare(connect(config, user=config.clickhouse.collector_user, endpoint=endpoint), config)
        yield Pausable(engine, config, endpoint)
    finally:
        engine.stop()


def test_every_client_gives_up_and_says_what_is_wrong(clickhouse):
    user = clickhouse.server.clickhouse.analyst_user
    with (
        clickhouse.paused(),
        pytest.raises(StorageError, match=rf"^ClickHouse at http://\S+ cannot be used as {user}: it {SILENT}; see"),
    ):
        connect(clickhouse.server, user=user)
    assert connect(clickhouse.server, user=user).query("SELECT 1").result_rows == [(1,)]


@pytest.mark.parametrize("where", ["server", "embedded"])
@pytest.mark.parametrize(
    "words", [["summary"], ["sql", "SELECT 1"], ["migrate"], ["readiness", "example.com"]], ids=lambda words: words[0]
)
def test_commands_end_with_a_sentence(clickhouse, tmp_path, where, words):
    config = getattr(clickhouse, where)
    file = tmp_path / "mailposture.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json", include={"domains": {0: {"name"}}, "data": True})))
    if where == "server":
        with file.open("a") as more:
            more.write(f"clickhouse: {{url: '{config.clickhouse.url}', passwords: '{config.clickhouse.passwords}'}}\n")
    with clickhouse.paused():
        ended = CliRunner().invoke(main, [words[0], "--config", str(file), *words[1:]])
    assert ended.exit_code == 1, ended.output
    assert SILENT in ended.stderr
    assert "see whether" in ended.stderr
    assert "Traceback" not in ended.output


def test_the_exporter_says_that_its_numbers_are_old(clickhouse):
    registry = CollectorRegistry()
    ask = Asking(clickhouse.server)
    refresher = Refresher(
        read=lambda: str(ask("SELECT count() FROM tls_domain_daily", {})),
        knock=lambda: ask("SELECT 1", {}),
        without_reports="",
        every=60,
        registry=registry,
    )
    assert refresher.refresh()
    with clickhouse.paused():
        with pytest.raises(OperationalError):  # and no StorageError: it was not asked a second time, by a new client
            ask("SELECT 1", {})
        assert not refresher.still_answers()
        assert SILENT in (refresher.fault or "")
        assert registry.get_sample_value("mailposture_reported_up") == 0
        assert not refresher.refresh()
    assert refresher.refresh()
    assert refresher.fault is None


def test_ingest_shows_signs_of_life_and_stores_when_clickhouse_is_back(clickhouse, ingest, tmp_path):
    """Paused while a batch is on its way: what ingest shows is that it runs, and that ClickHouse does not answer."""
    beats = []
    alive = ingest.heartbeat.alive
    ingest.heartbeat.alive = lambda: (beats.append(None), alive())
    config = clickhouse.server
    client = connect(config, user=config.clickhouse.collector_user)
    ingest.writer._client = client
    upkeep = Upkeep(held=ingest.held, client=client, heartbeat=ingest.heartbeat)
    stopping = threading.Event()
    pipeline = ingest.pipeline(stopping=stopping.is_set, pause=lambda _: stopping.wait(0.1))
    following = Following(
        Reloading(tmp_path / "mailposture.yaml", config, note=lambda **_: None),
        pipeline=pipeline,
        afterwards=Afterwards(config),
        client=client,
        judge_of=lambda _: ingest.judge,
        asked=lambda: False,
    )
    with ThreadPoolExecutor(1) as storing:
        working = threading.Thread(
            target=keep_storing,
            args=(pipeline, upkeep),
            kwargs={"following": following, "storing": storing, "heartbeat": ingest.heartbeat, "stopping": stopping},
        )
        working.start()
        try:
            eventually("answers", lambda: ingest.heartbeat.database_answers)
            with clickhouse.paused():
                ingest.spool.put(arrived(), report())
                eventually("no answer", lambda: not ingest.heartbeat.database_answers)
                before = len(beats)
                eventually("heartbeats go on", lambda: len(beats) >= before + 3)
                assert ingest.heartbeat.ingest_runs
                assert ingest.queue.stats().depth == 1
            eventually("all is stored", lambda: ingest.queue.stats().depth == 0)
            eventually("answers", lambda: ingest.heartbeat.database_answers)
        finally:
            stopping.set()
            working.join(60)
    assert not working.is_alive()
    assert client.query("SELECT count() FROM tls_report_log").result_rows == [(1,)]


def test_a_long_query_is_no_silence(clickhouse):
    """ClickHouse sends its progress to readers, who may not ask for it."""
    analyst = connect(clickhouse.server, user=clickhouse.server.clickhouse.analyst_user)
    settings = dict(analyst.query("SELECT name, value FROM system.settings WHERE name LIKE '%progress%'").result_rows)
    assert settings["send_progress_in_http_headers"] == "1"
    assert int(settings["http_headers_progress_interval_ms"]) < 15_000 / 2


def test_what_works_for_long_may_be_silent_for_longer(clickhouse, monkeypatch: pytest.MonkeyPatch):
    """While it sorts, ClickHouse makes no progress that it could send."""
    monkeypatch.setattr(timeouts, "SILENCE", 1)
    user = clickhouse.server.clickhouse.collector_user
    with pytest.raises(OperationalError):
        connect(clickhouse.server, user=user).command("SELECT sleep(3)")
    assert connect(clickhouse.server, user=user, silence=60).command("SELECT sleep(3)") == 0
