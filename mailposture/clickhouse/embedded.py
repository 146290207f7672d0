"""The embedded engine: a ClickHouse of our own in a child process, for those who run no server.

The child (engine_child.py) listens for HTTP and the native protocol on loopback, so our own code, Grafana and any
ClickHouse client use it like a server. One engine a data folder: the child itself holds a lock for as long as it lives,
and ends when whoever started it ends, however that ends. Commands borrow the engine that runs; a command that had to
start it ends it only once nobody borrows it any more. `mailposture run` ends it at once: borrowers fail with a message.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mailposture.clickhouse import timeouts
from mailposture.clickhouse.engine_child import EXIT_API_CHANGED, EXIT_NOT_INSTALLED
from mailposture.clickhouse.engine_files import Endpoint, EngineFolder, Holder
from mailposture.config.model import Listen
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mailposture.config.model import Config

log = structlog.get_logger()

_STARTS_WITHIN = 60.0  # seconds; half a second is usual, but a busy machine with a large store takes its time
_ENDS_WITHIN = 1.0  # idle connections of clients may hold it up longer, and there is nothing more to wait for
_OTHERS_END_WITHIN = 15.0
_COMMANDS_END_WITHIN = 300.0  # a large import takes minutes; a prompt that was left open takes for ever
_LOOK_EVERY = 0.05


class EngineError(ProblemError):
    """The embedded engine does not run; the message names the reason and the next step."""


class EngineRunsError(EngineError):
    """Another process has this data folder's engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Leave to use an engine or a server."""

    endpoint: Endpoint
    started: bool  # for this caller, who then sees to its schema


class EmbeddedEngine:
    """The engine of one data folder, as a child of this process."""

    def __init__(self, config: Config, *, holder: Holder = Holder.SERVICE) -> None:
        self._config = config
        self._holder = holder
        self._clickhouse = config.clickhouse
        self._folder = EngineFolder(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None  # the child ends when its other end, standard input, closes

    def start(self, *, after_commands: bool = False) -> Endpoint:
        """Start the child and return once it answers. Raises EngineError.

        `after_commands` waits for a command that has the engine to itself, such as an import.
        """
        lock = self._lock_folder(after_commands=after_commands)
        try:
            http_port = _free_port(self._clickhouse.http, "clickhouse.http")
            native_port = _free_port(self._clickhouse.native, "clickhouse.native")
            self._folder.write_conf(self._clickhouse, http_port=http_port, native_port=native_port)
            endpoint = Endpoint(
                host=_reachable(self._clickhouse.http.host),
                http_port=http_port,
                native_port=native_port,
                passwords=self._folder.passwords,
            )
            began = self._spawn(lock, endpoint)
        finally:
            os.close(lock)  # the child has a copy: the lock now lasts as long as the child
        self._wait_until_it_answers(endpoint, began)
        self._folder.write_state(endpoint)
        log.info("embedded engine started", http=endpoint.url, native_port=native_port, store=str(self._folder.store))
        return endpoint

    def _lock_folder(self, *, after_commands: bool) -> int:
        """Make the folder ours; an engine whose parent was killed may need a moment to end."""
        with _telling_about(self._folder):
            self._folder.make()
            began = time.monotonic()
            others_end_at = began + _OTHERS_END_WITHIN
            told = False
            while (lock := self._folder.take_lock(self._holder)) is None:
                if after_commands and self._folder.holder() is Holder.COMMAND:
                    self._wait_on_for_a_command(began, told=told)
                    others_end_at, told = time.monotonic() + _OTHERS_END_WITHIN, True
                elif running_endpoint(self._config) is not None or time.monotonic() > others_end_at:
                    raise EngineRunsError(
                        f"{self._folder.path}: another process already runs the engine of this data folder"
                    )
                time.sleep(_LOOK_EVERY)
            self._folder.tidy()
        return lock

    def _wait_on_for_a_command(self, began: float, *, told: bool) -> None:
        """Say once what we wait for; raises EngineRunsError when that took too long."""
        if not told:
            log.warning(
                "waiting for a command that has the engine to itself, such as an import or an open sql prompt",
                engine=str(self._folder.path),
                at_most_seconds=_COMMANDS_END_WITHIN,
            )
        if time.monotonic() - began > _COMMANDS_END_WITHIN:
            raise EngineRunsError(
                f"{self._folder.path}: a mailposture command (an import, or an open sql prompt?) still has the "
                f"engine of this data folder after {_COMMANDS_END_WITHIN:.0f} s; end it and start again"
            )

    def _spawn(self, lock: int, endpoint: Endpoint) -> int:
        """Start the child; return where in the log its words begin."""
        command = [sys.executable, "-I", "-m", "mailposture.clickhouse.engine_child", str(self._folder.path)]
        self._lifeline, its_end = socket.socketpair()
        with self._folder.log.open("ab") as words, its_end:
            self._process = subprocess.Popen(
                [*command, str(endpoint.http_port), str(endpoint.native_port)],
                stdin=its_end.fileno(),
                stdout=words,
                stderr=words,
                env={},  # SQL users might read it
                pass_fds=[lock],
                start_new_session=True,  # Ctrl-C is for the parent, which then ends the child in order
            )
            return words.tell()

    def _wait_until_it_answers(self, endpoint: Endpoint, began: int) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN
        while time.monotonic() < deadline:
            if not self.alive():
                raise self._failure(began)
            user = self._clickhouse.collector_user
            with contextlib.suppress(TimeoutError):  # a busy machine: it is asked again
                if _answers(endpoint, user, self._folder.password(user)):
                    self._pass_on_warnings(began)
                    return
            time.sleep(_LOOK_EVERY)
        self.stop()
        raise EngineError(
            f"the embedded engine did not answer on {endpoint.url} within {_STARTS_WITHIN:.0f} s; its last words are "
            f"in {self._folder.log}. If chdb-core was changed, install the version that pyproject.toml names"
        )

    def _failure(self, began: int) -> EngineError:
        status = self.wait()
        words = " ".join(self._words(began)) or f"it ended with status {status} and said nothing"
        reinstall = f"{sys.executable} -m pip install 'mailposture[embedded]'"
        if status == EXIT_NOT_INSTALLED:
            return EngineError(
                f"the embedded engine is not installed: run `{reinstall}` (550 MB), or set clickhouse.url to a server"
            )
        if status == EXIT_API_CHANGED:
            return EngineError(
                f"this version of chdb-core does not fit ({words}): run `{reinstall}` to get the one that was tested"
            )
        return EngineError(f"the embedded engine did not start: {words} (log: {self._folder.log})")

    def _pass_on_warnings(self, began: int) -> None:
        for line in self._words(began):
            if line.startswith("warning: "):
                log.warning(line.removeprefix("warning: "))

    def _words(self, began: int) -> list[str]:
        with self._folder.log.open("rb") as words:
            words.seek(began)
            return words.read(4096).decode("utf-8", "replace").split("\n")[:-1]

    def keep_log_small(self) -> None:
        """For who keeps the engine for days: call it now and then."""
        self._folder.keep_log_small()

    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the child to end; return its exit status. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout) if self._process else 0

    @property
    def pid(self) -> int | None:
        """Process id of the child."""
        return self._process.pid if self._process else None

    def stop(self) -> None:
        """End the child: in order, or, where that takes long, by force. What was acknowledged is on disk either way."""
        if self._process is None:
            return
        if self.alive():
            self._folder.state.unlink(missing_ok=True)  # from here on nobody shall look for it
        if self._lifeline is not None:
            self._lifeline.close()
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Endpoint:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextlib.contextmanager
def use_or_start(config: Config) -> Iterator[Access]:
    """Where SQL goes, for as long as the caller needs it.

    With clickhouse.url: the server. Else the engine that runs on this data folder, or one that is started for the
    caller and ended after, once no other command uses it. Raises EngineError.
    """
    if config.clickhouse.url is not None:
        yield Access(endpoint=server_endpoint(config), started=False)
        return
    folder = EngineFolder(config)
    deadline = time.monotonic() + _STARTS_WITHIN
    while True:
        with _telling_about(folder):
            runs = folder.holder() is not None
        if runs:
            with folder.borrowing():
                if (endpoint := running_endpoint(config)) is not None:
                    yield Access(endpoint=endpoint, started=False)
                    return
        engine = EmbeddedEngine(_on_any_ports(config), holder=Holder.COMMAND)
        try:
            endpoint = engine.start()
            break
        except EngineRunsError as error:  # it is just starting, or just ending
            if time.monotonic() > deadline:
                raise EngineError(f"{error}, but it does not answer; end that process, or look into its log") from None
            time.sleep(_LOOK_EVERY)
    try:
        yield Access(endpoint=endpoint, started=True)
    finally:
        try:
            with folder.without_borrowers():
                engine.stop()
        finally:
            engine.stop()  # also for who does not want to wait for others, and presses Ctrl-C


@contextlib.contextmanager
def _telling_about(folder: EngineFolder) -> Iterator[None]:
    """Say what to do about a folder that cannot be used."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"{error.filename or folder.path}: cannot be used ({error.strerror}); give this account the folder "
            f"{folder.path.parent}, or set `data` in the configuration to one that it may write"
        ) from error


def _on_any_ports(config: Config) -> Config:
    """For a command that needs the engine for itself: the configured ports may be taken, and nobody else needs them."""
    any_port = {"http": Listen(host="127.0.0.1", port=0), "native": Listen(host="127.0.0.1", port=0)}
    return config.model_copy(update={"clickhouse": config.clickhouse.model_copy(update=any_port)})


def running_endpoint(config: Config) -> Endpoint | None:
    """Where the embedded engine of this data folder answers right now, if it does.

    Only while an engine has the folder's lock: the port of a dead one may be anybody's by now, and whoever listens
    there would be told a password. Raises EngineError for a data folder that cannot be used, and for an engine that
    takes connections and does not answer.
    """
    folder = EngineFolder(config)
    user = config.clickhouse.collector_user
    with _telling_about(folder):
        endpoint = folder.endpoint() if folder.holder() is not None else None
        if endpoint is None:
            return None
        password = folder.password(user)
    try:
        return endpoint if _answers(endpoint, user, password) else None
    except TimeoutError:
        raise EngineError(
            f"the embedded engine at {endpoint.url} takes connections and does not answer within {timeouts.SILENCE} s; "
            f"see whether its process is stopped or the machine out of memory, and what {folder.log} says"
        ) from None


def server_endpoint(config: Config) -> Endpoint:
    """The server that clickhouse.url names."""
    scheme, _, address = (config.clickhouse.url or "").partition("://")
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        host, port = address, "8443" if scheme == "https" else "8123"
    return Endpoint(
        host=host.strip("[]"), http_port=int(port), secure=scheme == "https", passwords=config.clickhouse.passwords
    )


def _free_port(listen: Listen, key: str) -> int:
    """The port to listen on: the configured one if nobody has it, any free one for port 0. Raises EngineError."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except OSError as error:
            reason = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
            raise EngineError(
                f"the embedded engine cannot listen on {listen} ({reason}); end that program, or choose another port "
                f"as {key} in the configuration"
            ) from error
        port: int = probe.getsockname()[1]
        return port


def _reachable(host: str) -> str:
    """An address to reach a listener at, also where it listens on every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def _answers(endpoint: Endpoint, user: str, password: str) -> bool:
    """Whether our engine answers there, and not just anybody: only ours knows the password.

    Raises TimeoutError if it takes the connection and stays silent.
    """
    connection = http.client.HTTPConnection(endpoint.host, endpoint.http_port, timeout=timeouts.SILENCE)
    try:
        headers = {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        connection.request("GET", "/?query=SELECT%20'mailposture'", headers=headers)
        response = connection.getresponse()
        return response.status == http.client.OK and response.read(100).strip() == b"mailposture"
    except TimeoutError:
        raise
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
