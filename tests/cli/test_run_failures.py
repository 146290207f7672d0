"""`mailposture run` when what it starts does not stay."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
import yaml
from ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# As when somebody takes the port between our look at it and the receiver's start.
RUN_UNCHECKED = "import cli.run; cli.run.check_collector_ports = lambda _: None; from cli.main import main; main()"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_receiver_that_ends_at_once_ends_all_with_its_reason(tmp_path: Path, terminal: bool) -> None:
    """With a terminal the receiver's own words are in a file, where nobody would have looked for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {
            "domains": [{"name": "shop.example"}],
            "smtp": {"listen": address},
            "https": {"listen": f"127.0.0.1:{free_port()}"},
            "metrics": {"collector": f"127.0.0.1:{free_port()}", "exporter": f"127.0.0.1:{free_port()}"},
            "clickhouse": {"http": "127.0.0.1:0", "native": "127.0.0.1:0"},
            "probes": {"enabled": False},
        }
        (tmp_path / "mailposture.yaml").write_text(yaml.safe_dump(settings))
        code, said = run(tmp_path, terminal=terminal)
    assert code == 1
    assert f"cannot listen on {address} (Address already in use); " in said
    assert "as smtp.listen in the configuration" in said
    assert "mailposture: the receiver ended at once, with status 1: " in said


def run(folder: Path, *, terminal: bool) -> tuple[int, str]:
    """The exit code, and what went to standard error, which may be a terminal."""
    ours, theirs = os.openpty() if terminal else os.pipe()
    process = subprocess.Popen([sys.executable, "-c", RUN_UNCHECKED, "run"], cwd=folder, stderr=theirs)
    os.close(theirs)
    said = bytearray()

    def listen() -> None:
        try:
            while heard := os.read(ours, 4096):
                said.extend(heard)
        except OSError:  # how a terminal ends
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        code = process.wait(50)  # it used to wait a minute
    finally:
        process.kill()
        process.wait()
        listener.join(60)
        os.close(ours)
    return code, said.decode().replace("\r\n", "\n")
