"""A service shares its engine with commands; a command has one to itself, and nobody takes it from under it."""

from __future__ import annotations

import http.server
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest
import structlog
from engine import engine_config
from eventually import eventually

from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import (
    EmbeddedEngine,
    EngineError,
    EngineRunsError,
    running_endpoint,
    use_or_start,
)
from mailposture.clickhouse.engine_files import EngineFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mailposture.config.model import Config

pytestmark = pytest.mark.slow


class Command:
    """A command that uses the engine, in a thread, until it is released."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._begun, self._done = threading.Event(), threading.Event()
        self.answers: list[bytes] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(60)

    def _run(self) -> None:
        with use_or_start(self._config) as access:
            client = connect(self._config, user=self._config.clickhouse.collector_user, endpoint=access.endpoint)
            self._begun.set()
            self._done.wait(60)
            self.answers.append(client.raw_query("SELECT 1", use_database=False))
            client.close_connections()

    def done(self) -> None:
        self._done.set()

    def ended(self, within: float = 60) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()


def test_command_waits_for_one_that_has_the_engine_to_itself(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    first = Command(config)
    answers: list[bytes] = []

    def second() -> None:
        with use_or_start(config) as access:
            client = connect(config, user=config.clickhouse.collector_user, endpoint=access.endpoint)
            answers.append(client.raw_query("SELECT 2", use_database=False))
            client.close_connections()

    with structlog.testing.capture_logs() as logs:
        waiting = threading.Thread(target=second)
        waiting.start()
        eventually("the second says that it waits", lambda: logs)
        assert answers == []
        first.done()
        waiting.join(60)
    assert (first.answers, answers) == ([b"1\n"], [b"2\n"])
    assert [entry["event"].split(",")[0] for entry in logs if entry["log_level"] == "warning"] == [
        "waiting for another command that has the engine to itself"
    ]


def test_service_waits_for_a_command_that_has_the_engine_to_itself(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    command = Command(config)
    service = EmbeddedEngine(config)
    threading.Timer(1, command.done).start()
    endpoint = service.start()
    try:
        assert command.answers == [b"1\n"]
        assert running_endpoint(config) == endpoint
        with pytest.raises(EngineRunsError, match="another process already runs"):
            EmbeddedEngine(config).start()
    finally:
        service.stop()


def test_nobody_waits_for_ever(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    command = Command(config)
    with pytest.raises(
        EngineError, match=r"an import, or an open sql prompt.*end it, or run this again when it is done"
    ):
        EmbeddedEngine(config).start(patience=0.5)
    command.done()
    assert command.ended()


def test_command_beside_a_service_uses_its_engine_and_leaves_it_running(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    with EmbeddedEngine(config) as endpoint:
        commands = [Command(config) for _ in range(2)]
        for command in commands:
            command.done()
            assert command.ended()
            assert command.answers == [b"1\n"]
        assert running_endpoint(config) == endpoint


class Eavesdropper(http.server.ThreadingHTTPServer):
    """Another program that got the port of an engine that was killed."""

    def __init__(self) -> None:
        self.received: list[str] = []
        super().__init__(("127.0.0.1", 0), _Listening)


class _Listening(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.received += [f"{name}: {value}" for name, value in self.headers.items()]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"mailposture\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def eavesdropper() -> Iterator[Eavesdropper]:
    with Eavesdropper() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_nobody_who_listens_on_the_port_of_a_dead_engine_is_told_a_password(
    tmp_path: Path, eavesdropper: Eavesdropper
) -> None:
    config = engine_config(tmp_path)
    folder = EngineFolder(config)
    with EmbeddedEngine(config):
        state = json.loads(folder.state.read_text())
    assert not folder.state.exists(), "an engine that ends in order says so"
    stale = json.dumps({**state, "http_port": eavesdropper.server_port})
    folder.state.write_text(stale)
    assert running_endpoint(config) is None
    lock = folder.take_lock()
    assert lock is not None
    folder.tidy()  # the next engine has begun to start
    assert running_endpoint(config) is None
    assert eavesdropper.received == []
    with os.fdopen(lock):
        folder.state.write_text(stale)
        assert running_endpoint(config) is not None, "the listener would have been believed, were it asked"
        assert any("X-Clickhouse-Key" in header.title() for header in eavesdropper.received)
