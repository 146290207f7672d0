"""What a shell started in the background outlives the shell; what we started ourselves does not outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from eventually import eventually
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

BACKGROUND = {"nohup": "nohup {} &", "setsid": "setsid {} &", "disown": "{} & disown"}


@pytest.mark.parametrize(("way", "command"), [("nohup", "run"), *((way, "collector") for way in BACKGROUND)])
def test_what_a_shell_started_in_the_background_outlives_it(tmp_path: Path, way: str, command: str) -> None:
    ready_page = configure(tmp_path)
    log = tmp_path / "log"
    line = BACKGROUND[way].format(f"{sys.executable} -m cli {command} >log 2>&1 </dev/null")
    shell = subprocess.Popen(
        ["bash", "-c", f"{line}\necho $!; read"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert shell.stdin
    assert shell.stdout
    process = int(shell.stdout.readline())
    try:
        said = "Stop: Ctrl-C" if command == "run" else ""
        eventually("ready", lambda: answers(ready_page) and said in log.read_text())
        if command == "run":  # its log would fill the shell's file for ever
            assert '"event": "receiving"' in (tmp_path / "data" / "mailposture.log").read_text()
            assert '"event"' not in log.read_text()
        before = children(process)
        shell.communicate(b"\n", timeout=60)
        assert not Path(f"/proc/{shell.pid}").exists()
        # Whatever the shell's end would do is done by now; only a living parent starts a dead child again.
        os.kill(before["receiver"], signal.SIGKILL)
        eventually("a new receiver", lambda: "receiver" in dict(children(process).items() - before.items()))
        started = set(children(process).values())
        os.kill(process, signal.SIGKILL)
        eventually("children end with their parent", lambda: not any(runs(child) for child in started))
    finally:
        if runs(process):
            os.kill(process, signal.SIGTERM)
        shell.kill()


@pytest.mark.parametrize("line", ["nohup {} &", "nohup {}", "{} & disown", "setsid {} &"])
def test_a_terminal_that_goes_away_ends_nothing_that_is_to_be_left_behind(tmp_path: Path, line: str) -> None:
    """And whatever outlives its terminal reads its configuration again when it is asked to."""
    ready_page = configure(tmp_path)
    log = tmp_path / "log"
    shell, terminal = terminal_running(tmp_path, line)
    eventually("ready", lambda: answers(ready_page))
    process = int((tmp_path / "pid").read_text())
    try:
        hang_up(shell, terminal)
        before = children(process)
        os.kill(before["receiver"], signal.SIGKILL)
        eventually("a new receiver", lambda: "receiver" in dict(children(process).items() - before.items()))
        eventually("ready again", lambda: answers(ready_page))
        read = log.read_text().count("configuration read again")
        os.kill(process, signal.SIGHUP)
        eventually("that it is read", lambda: log.read_text().count("configuration read again") > read)
    finally:
        if runs(process):
            os.kill(process, signal.SIGTERM)
    eventually("the end", lambda: not runs(process))


def test_screen_that_nobody_sees_any_more_is_lost_and_nothing_else(tmp_path: Path) -> None:
    configure(tmp_path)
    log = tmp_path / "data" / "mailposture.log"
    with hung_up(tmp_path, "run", once=log):
        os.truncate(log, 11 * 1024 * 1024)  # only with its screen behind it does it look at that
        eventually("a new log", log.with_name("mailposture.log.1").exists)


def test_log_of_a_service_that_nobody_sees_any_more_is_lost_and_nothing_else(tmp_path: Path) -> None:
    ready_page = configure(tmp_path)
    with hung_up(tmp_path, "collector", once=tmp_path / "pid") as process:
        eventually("ready", lambda: answers(ready_page))
        before = children(process)
        os.kill(before["receiver"], signal.SIGKILL)  # which is logged before there is another
        eventually("a new receiver", lambda: "receiver" in dict(children(process).items() - before.items()))
        eventually("ready again", lambda: answers(ready_page))


@contextmanager
def hung_up(folder: Path, command: str, *, once: Path) -> Iterator[int]:
    """A process that was left behind, and had its output on a terminal that went away once there was a file."""
    shell, terminal = terminal_running(folder, "{} & disown", command=command, log=None)
    eventually("a file", once.exists)
    pid = folder / "pid"
    eventually("its id", lambda: pid.exists() and pid.read_text().endswith("\n"))
    process = int(pid.read_text())
    hang_up(shell, terminal)
    try:
        yield process
    finally:
        if runs(process):
            os.kill(process, signal.SIGTERM)
        eventually("the end", lambda: not runs(process))


def test_what_runs_in_a_terminal_ends_with_it(tmp_path: Path) -> None:
    ready_page = configure(tmp_path)
    shell, terminal = terminal_running(tmp_path, "{}")
    eventually("ready", lambda: answers(ready_page))
    process = int((tmp_path / "pid").read_text())
    started = set(children(process).values())
    hang_up(shell, terminal)
    eventually("the end of all", lambda: not any(runs(each) for each in (process, *started)))


def terminal_running(
    folder: Path, line: str, *, command: str = "collector", log: str | None = "log"
) -> tuple[subprocess.Popen[bytes], int]:
    """An interactive shell that was given a line, and its terminal. Our process writes its id into `pid`.

    Without a log what the process says goes to the terminal.
    """
    streams = f">{log} 2>&1 </dev/null" if log else ""
    (folder / "ours.sh").write_text(f"echo $$ >pid\nexec {sys.executable} -m cli {command} {streams}\n")
    terminal, its_end = os.openpty()
    # Tests may run under nohup themselves, and no shell gives back what was ignored when it started.
    program = ["setsid", "--ctty", "env", "--default-signal=HUP", "bash", "--norc", "-i"]
    shell = subprocess.Popen(program, cwd=folder, stdin=its_end, stdout=its_end, stderr=its_end)
    os.close(its_end)
    os.write(terminal, line.format("bash ours.sh").encode() + b"\n")
    return shell, terminal


def hang_up(shell: subprocess.Popen[bytes], terminal: int) -> None:
    """As when a connection by SSH breaks off."""
    os.close(terminal)
    shell.wait(60)


def configure(folder: Path) -> str:
    """Write a configuration with ports of its own; returns the address of the readiness page."""
    collector = f"127.0.0.1:{free_port()}"
    settings = {
        "domains": [{"name": "shop.example"}],
        "smtp": {"listen": f"127.0.0.1:{free_port()}"},
        "https": {"listen": f"127.0.0.1:{free_port()}"},
        "metrics": {"collector": collector, "exporter": f"127.0.0.1:{free_port()}"},
        "clickhouse": {"http": f"127.0.0.1:{free_port()}", "native": f"127.0.0.1:{free_port()}"},
        "probes": {"enabled": False},
    }
    (folder / "mailposture.yaml").write_text(yaml.safe_dump(settings))
    return f"http://{collector}/readyz"


def children(process: int) -> dict[str, int]:
    """Process ids of children by the subcommand of ours that they run."""
    found = {}
    listed = Path(f"/proc/{process}/task/{process}/children")
    for child in listed.read_text().split() if listed.exists() else ():
        try:
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if words[1:3] == ["-m", "cli"]:
            found[words[3]] = int(child)
    return found


def runs(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status == 200
    except OSError:
        return False
