"""The embedded engine: a ClickHouse of our own in a child process, for those who run no server.

The child (engine_child.py) listens for HTTP and the native protocol on loopback, so our own code, Grafana and any
ClickHouse client use it like a server. One engine per data folder: the child itself holds a lock for as long as it
lives, and ends when whoever started it ends, however that ends. That of a service (`mailposture run`) is shared:
commands find it by its state file, and fail with a message if it ends under them. A command that finds none starts one
for itself alone; others wait until it is done.
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
from mailposture.clickhouse.engine_files import Endpoint, EngineFolder
from mailposture.config.model import Listen
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from mailposture.config.model import Config

log = structlog.get_logger()

_STARTS_WITHIN = 60.0  # seconds; half a second is usual, but a busy machine with a large store takes its time
_ENDS_WITHIN = 1.0  # idle connections of clients may hold it up longer, and there is nothing more to wait for
_OTHERS_END_WITHIN = 300.0  # a large import takes minutes; a prompt that was left open takes for ever
_SAID_AFTER = 2.0  # most commands are done sooner, and an engine whose parent was killed has ended
_LOOK_EVERY = 0.05
_PORT_TAKEN = "Address already in use"


class EngineError(ProblemError):
    """The embedded engine does not run; the message names the reason and the next step."""


class _MishapError(EngineError):
    """It ended at its start, by a signal, or since somebody took its port meanwhile: the next start says more."""


class EngineRunsError(EngineError):
    """A service has this data folder's engine, and shares it."""

    def __init__(self, message: str, *, endpoint: Endpoint) -> None:
        super().__init__(message)
        self.endpoint = endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Leave to use an engine or a server."""

    endpoint: Endpoint
    started: bool  # for this caller, who then sees to its schema


class EmbeddedEngine:
    """The engine of one data folder, as a child of this process."""

    def __init__(self, config: Config, *, shared: bool = True) -> None:
        self._config = config
        self._shared = shared
        self._clickhouse = config.clickhouse
        self._folder = EngineFolder(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None  # the child ends when its other end, standard input, closes

    def start(self, *, patience: float = _OTHERS_END_WITHIN) -> Endpoint:
        """Start the child and return once it answers. Raises EngineError.

        Another engine of the folder that nobody shares is waited for, so many seconds.
        """
        try:
            return self._start(patience)
        except _MishapError as mishap:
            log.warning("the embedded engine ended at its start, starting it again", reason=str(mishap))
            return self._start(patience)

    def _start(self, patience: float) -> Endpoint:
        lock = self._lock_folder(patience)
        try:
            with (
                _free_port(self._clickhouse.http, "clickhouse.http") as http_port,
                _free_port(self._clickhouse.native, "clickhouse.native") as native_port,
            ):
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
        if self._shared:
            self._folder.write_state(endpoint)
        log.info("embedded engine started", http=endpoint.url, native_port=native_port, store=str(self._folder.store))
        return endpoint

    def _lock_folder(self, patience: float) -> int:
        """Make the folder ours."""
        with _explaining(self._folder):
            self._folder.make()
            began, said = time.monotonic(), False
            while (lock := self._folder.take_lock()) is None:
                if (endpoint := running_endpoint(self._config)) is not None:
                    raise EngineRunsError(
                        f"{self._folder.path}: another process already runs the engine of this data folder",
                        endpoint=endpoint,
                    )
                waited = time.monotonic() - began
                if waited >= patience:
                    raise EngineError(
                        f"{self._folder.path}: another mailposture process (an import, or an open sql prompt?) has the "
                        "engine of this data folder to itself; end it, or run this again when it is done"
                    )
                if waited > _SAID_AFTER and not said:
                    log.warning(
                        "waiting for another command that has the engine to itself, such as an import or an open sql "
                        "prompt",
                        engine=str(self._folder.path),
                        at_most_seconds=patience,
                    )
                    said = True
                time.sleep(_LOOK_EVERY)
            self._folder.tidy()
        return lock

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
        of_its_kind = _MishapError if status < 0 or _PORT_TAKEN in words else EngineError
        return of_its_kind(f"the embedded engine did not start: {words} (log: {self._folder.log})")

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

    With clickhouse.url: the server. Else the engine that a service runs on this data folder, or one that is started for
    the caller alone and ended after. Raises EngineError.
    """
    if config.clickhouse.url is not None:
        yield Access(endpoint=server_endpoint(config), started=False)
        return
    engine = EmbeddedEngine(_on_any_ports(config), shared=False)
    try:
        access = Access(endpoint=engine.start(), started=True)
    except EngineRunsError as runs:
        access = Access(endpoint=runs.endpoint, started=False)
    try:
        yield access
    finally:
        engine.stop()


@contextlib.contextmanager
def _explaining(folder: EngineFolder) -> Iterator[None]:
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
    """Where the embedded engine that a service runs on this data folder answers right now, if it does.

    Only while an engine has the folder's lock: the port of a dead one may be anybody's by now, and whoever listens
    there would receive a password. Raises EngineError for a data folder that cannot be used, and for an engine that
    accepts connections but does not respond.
    """
    folder = EngineFolder(config)
    user = config.clickhouse.collector_user
    with _explaining(folder):
        endpoint = folder.endpoint() if folder.locked() else None
        if endpoint is None:
            return None
        password = folder.password(user)
    try:
        return endpoint if _answers(endpoint, user, password) else None
    except TimeoutError:
        raise EngineError(
            f"the embedded engine at {endpoint.url} accepts connections but does not respond within {timeouts.SILENCE} "
            f"s; see whether its process is stopped or the machine out of memory, and what {folder.log} says"
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


@contextlib.contextmanager
def _free_port(listen: Listen, key: str) -> Iterator[int]:
    """The port to listen on: the configured one if nobody has it, any free one for port 0. Raises EngineError.

    Nobody is given the same one before the end of the context.
    """
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
        yield probe.getsockname()[1]


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
