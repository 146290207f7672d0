"""The policy host as a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from eventually import eventually
from hosting import TESTED, write_config
from pki import make_ca

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "cli", "policy-host", "--config"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """A started policy host, its configuration and its port."""
    path, port, _ = write_config(tmp_path)
    with subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.DEVNULL) as child:
        try:
            yield child, path, port
        finally:
            child.kill()


def fetch(port: int, host: str) -> int:
    """The status for a host's policy; asks until the process listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/.well-known/mta-sts.txt", headers={"Host": host})

    def status() -> int | None:
        try:
            with urllib.request.urlopen(request) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            return None

    return eventually("an answer of the policy host", status)


def test_sighup_reads_the_configuration_again_and_sigterm_ends(
    process: tuple[subprocess.Popen[bytes], Path, int],
) -> None:
    child, path, port = process
    assert fetch(port, "mta-sts.enforced.example") == 200
    assert fetch(port, "mta-sts.plain.example") == 404
    plain = {"name": "plain.example", "mx": ["mx.plain.example"], "mta_sts": {"mode": "testing"}}
    path.write_text(path.read_text().replace("- name: plain.example\n", f"- {plain}\n"))
    child.send_signal(signal.SIGHUP)
    eventually("the new policy", lambda: fetch(port, "mta-sts.plain.example") == 200)
    assert fetch(port, "mta-sts.enforced.example") == 200
    child.terminate()
    assert child.wait(timeout=60) == 0


def test_process_answers_one_tls_connection_after_another(tmp_path: Path) -> None:
    authority = make_ca(tmp_path)
    context = authority.client_context()
    path, port, metrics_port = write_config(tmp_path, tls=(authority.issue(["mta-sts.tested.example"]),))
    with subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.DEVNULL) as child:
        try:
            fetch(metrics_port, "localhost")  # until it listens
            for _ in range(50):
                connection = socket.create_connection(("127.0.0.1", port), timeout=60)
                with context.wrap_socket(connection, server_hostname="mta-sts.tested.example") as tls:
                    tls.sendall(b"GET /.well-known/mta-sts.txt HTTP/1.0\r\nHost: mta-sts.tested.example\r\n\r\n")
                    assert tls.recv(12) == b"HTTP/1.0 200"
        finally:
            child.kill()


def test_address_in_use_is_said(process: tuple[subprocess.Popen[bytes], Path, int]) -> None:
    _, path, port = process
    fetch(port, TESTED["name"])
    second = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from policy_host.service import run; run(Path(sys.argv[1]))",
            str(path),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode != 0
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use); " in second.stderr
    assert "policy_host.listen" in second.stderr


def test_nothing_heavy_is_imported() -> None:
    """Starting in under a second and in little memory rests on this."""
    heavy = {"clickhouse_connect", "pyarrow", "chdb", "dns", "dkim", "checkdmarc", "pandas", "numpy"}
    program = (
        "import sys, policy_host.service, cli.policy_host; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "aiohttp" in loaded
    assert heavy.isdisjoint(loaded), heavy.intersection(loaded)
