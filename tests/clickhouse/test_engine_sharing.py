"""Commands that run beside each other share one engine, and nobody takes it from under another."""

from __future__ import annotations

import http.server
import json
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from engine import engine_config

from mailposture.clickhouse import embedded
from mailposture.clickhouse.client import connect
from mailposture.clickhouse.embedded import (
    EmbeddedEngine,
    EngineRunsError,
    running_endpoint,
    use_or_start,
)
from mailposture.clickhouse.engine_files import EngineFolder, Holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mailposture.config.model import Config

pytestmark = pytest.mark.slow


class Command:
    """A command that uses the engine, in a thread, until it is told that it is done."""

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

    def ended(self, within: float) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()


def test_command_that_started_the_engine_leaves_it_to_the_others_until_they_are_done(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    owner = Command(config)
    borrower = Command(config)
    owner.done()
    assert not owner.ended(within=1), "it waits for the borrower"
    assert running_endpoint(config) is not None
    borrower.done()
    assert borrower.ended(within=20)
    assert owner.ended(within=20)
    assert borrower.answers == owner.answers == [b"1\n"]
    assert running_endpoint(config) is None


def test_service_waits_for_a_command_that_has_the_engine_to_itself(tmp_path: Path) -> None:
    config = engine_config(tmp_path)
    command = Command(config)
    with pytest.raises(EngineRunsError):
        EmbeddedEngine(config).start()
    service = EmbeddedEngine(config)
    threading.Timer(1, command.done).start()
    endpoint = service.start(after_commands=True)
    try:
        assert command.answers == [b"1\n"]
        assert running_endpoint(config) == endpoint
        with pytest.raises(EngineRunsError, match="another process already runs"):
            EmbeddedEngine(config).start(after_commands=True)
    finally:
        service.stop()


def test_service_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_COMMANDS_END_WITHIN", 0.5)
    config = engine_config(tmp_path)
    command = Command(config)
    with pytest.raises(EngineRunsError, match=r"an import, or an open sql prompt.*end it and start again"):
        EmbeddedEngine(config).start(after_commands=True)
    command.done()
    assert command.ended(within=20)


def test_prompt_that_outlived_its_engine_holds_no_later_command_up(tmp_path: Path) -> None:
    """Killed owners take the engine with them; an open prompt does not notice until its next query."""
    config = engine_config(tmp_path)
    owner = EmbeddedEngine(config, holder=Holder.COMMAND)
    owner.start()
    folder = EngineFolder(config)
    with folder.borrowing():
        assert owner.pid is not None
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait(20)
        command = Command(config)
        command.done()
        assert command.ended(within=20)


class Eavesdropper(http.server.ThreadingHTTPServer):
    """Another program that got the port of an engine that was killed."""

    def __init__(self) -> None:
        self.told: list[str] = []
        super().__init__(("127.0.0.1", 0), _Listening)


class _Listening(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.told += [f"{name}: {value}" for name, value in self.headers.items()]
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
    lock = folder.take_lock(Holder.SERVICE)
    assert lock is not None
    folder.tidy()  # the next engine has begun to start
    assert running_endpoint(config) is None
    assert eavesdropper.told == []
    with os.fdopen(lock):
        folder.state.write_text(stale)
        assert running_endpoint(config) is not None, "the listener would have been believed, were it asked"
        assert any("X-Clickhouse-Key" in header.title() for header in eavesdropper.told)
