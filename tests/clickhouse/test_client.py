"""Logging in: what goes wrong is said with the address, the reason and the next step."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from engine import engine_config

from mailposture.clickhouse.client import StorageError, connect
from mailposture.clickhouse.embedded import server_endpoint
from mailposture.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine import Storage

USER = "mailposture_exporter"


def server_config(tmp_path: Path, url: str, passwords: Path | None = None) -> object:
    return engine_config(tmp_path, clickhouse={"url": url, "passwords": passwords})


def test_the_engine_is_reached_as_a_server_too(storage: Storage, tmp_path: Path) -> None:
    config = server_config(tmp_path, storage.endpoint.url, storage.endpoint.passwords)
    assert connect(config, user=USER).query("SELECT currentUser()").result_rows == [(USER,)]


def test_a_wrong_password_names_the_file(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / USER).write_text("wrong\n")
    config = server_config(tmp_path, storage.endpoint.url, tmp_path)
    with pytest.raises(StorageError, match=rf"does not let .* {USER} in: .*/{USER} does not hold its password"):
        connect(config, user=USER)


def test_a_missing_password_file_is_named(storage: Storage, tmp_path: Path) -> None:
    config = server_config(tmp_path, storage.endpoint.url, tmp_path)
    with pytest.raises(StorageError, match=rf"{tmp_path}/{USER}: .*cannot be read .*clickhouse.passwords"):
        connect(config, user=USER)


def test_no_password_where_one_is_needed_says_so(storage: Storage, tmp_path: Path) -> None:
    config = server_config(tmp_path, storage.endpoint.url)
    with pytest.raises(StorageError, match=r"needs a password, and clickhouse.passwords names no folder"):
        connect(config, user=USER)


def test_an_unknown_user_is_named(storage: Storage) -> None:
    assert storage.endpoint.passwords is not None
    with pytest.raises(StorageError, match=r"nobody: .*cannot be read"):
        connect(storage.config, user="nobody", endpoint=storage.endpoint)


def test_nobody_listening_is_said_with_the_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(
        StorageError, match=rf"^ClickHouse at http://127.0.0.1:{port} cannot be used as {USER}: Connection refused; see"
    ):
        connect(server_config(tmp_path, f"http://127.0.0.1:{port}"), user=USER)


@contextmanager
def answering(reply: bytes) -> Iterator[int]:
    """The port of something that gives everybody the same answer, and is no ClickHouse."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with suppress(OSError):  # it is closed
                while True:
                    connection, _peer = server.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(reply)

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]


def test_a_server_without_tls_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    with (
        answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port,
        pytest.raises(StorageError, match=rf"{USER}: \[SSL: \w+\] [a-z ]+ \(_ssl.c:\d+\); see whether") as caught,
    ):
        connect(server_config(tmp_path, f"https://127.0.0.1:{port}"), user=USER)
    assert "Pool" not in str(caught.value)


def test_something_else_listening_is_an_error(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as port:
        url = f"http://127.0.0.1:{port}"
        with pytest.raises(StorageError, match=url):
            connect(server_config(tmp_path, url), user=USER)


def test_no_engine_on_the_data_folder_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no embedded engine runs on .*mailposture run"):
        connect(engine_config(tmp_path), user=USER)


@pytest.mark.parametrize("broken", ["data", "data/engine/lock"])
def test_a_data_folder_that_cannot_be_used_names_the_next_step(tmp_path: Path, broken: str) -> None:
    """For whoever only asks, as the exporter does: it says so again and again, until somebody acts."""
    if broken == "data":
        (tmp_path / "data").touch()
    else:
        (tmp_path / broken).mkdir(parents=True)
    with pytest.raises(ProblemError, match=r"data/engine/lock: cannot be used \(.*; give .* or set `data`"):
        connect(engine_config(tmp_path / "data"), user=USER)


@pytest.mark.parametrize(
    ("url", "host", "port", "secure"),
    [
        ("http://db.example.com", "db.example.com", 8123, False),
        ("https://db.example.com", "db.example.com", 8443, True),
        ("https://db.example.com:443", "db.example.com", 443, True),
        ("http://[2001:db8::1]:8123", "2001:db8::1", 8123, False),
        ("http://[2001:db8::1]", "2001:db8::1", 8123, False),
    ],
)
def test_server_urls_are_read(tmp_path: Path, url: str, host: str, port: int, secure: bool) -> None:
    endpoint = server_endpoint(server_config(tmp_path, url))
    assert (endpoint.host, endpoint.http_port, endpoint.secure) == (host, port, secure)


def test_clients_of_two_threads_do_not_meet(storage: Storage) -> None:
    """A session that both shared would refuse the second query."""
    endpoint = replace(storage.endpoint)
    errors = []

    def ask() -> None:
        try:
            client = connect(storage.config, user=USER, endpoint=endpoint)
            for _ in range(5):
                client.query("SELECT sleep(0.02)")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
