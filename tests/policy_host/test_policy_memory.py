"""A policy host that is flooded stays below the memory that its container gets."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hosting import write_config
from memory import MIB, allowed, peak
from test_policy_process import COMMAND, fetch

if TYPE_CHECKING:
    from pathlib import Path

HOST = "mta-sts.enforced.example"
HEAD = f"POST /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\n".encode()
FLOODS = {
    "bodies that nobody asked for": [HEAD, f"Content-Length: {64 * MIB}\r\n\r\n".encode(), *[b"x" * MIB] * 64],
    "endless header fields": [HEAD, *[b"A: b\r\n" * (MIB // 6)] * 64],
    "one endless header field": [HEAD, b"A: ", *[b"b" * MIB] * 64],
    "an endless request line": [b"GET /", *[b"b" * MIB] * 64],
    "very many requests at once": [f"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode() * 200_000],
}


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_requests(tmp_path: Path, flood: list[bytes]) -> None:
    path, port, _ = write_config(tmp_path)

    def send(_: int) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
            for piece in flood:
                client.sendall(piece)  # until it hangs up, or takes no more

    with subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.DEVNULL) as process:
        try:
            assert fetch(port, HOST) == 200
            with ThreadPoolExecutor(50) as clients:
                list(clients.map(send, range(50)))
            assert fetch(port, HOST) == 200
            assert peak(process.pid) < allowed("policy-host")
        finally:
            process.kill()
