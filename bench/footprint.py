"""How long commands take to start, and the memory of everything that `mailposture run` starts, with the demo loaded.

    python -m bench.footprint [--rounds 5] [--wait 60]

The demo runs in a folder of its own, on the demo's own ports. Times are the least of some rounds, beside that of Python
with nothing but click, which no command can undercut. Memory is what a process has alone, and its share of what several
have (proportional set size, /proc/PID/smaps_rollup), so that the sum is what the machine gives.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = [sys.executable, "-m", "cli"]
SCREEN = "Stop: Ctrl-C"  # ends it
_STARTS_WITHIN = 180.0
_ENDS_WITHIN = 60.0


@contextmanager
def demo(folder: Path) -> Iterator[tuple[int, float]]:
    """Run it; the process, and after how many seconds the screen was there."""
    screen = folder / "screen"
    began = time.monotonic()
    with screen.open("wb") as output, _program(["run"], folder, output) as process:
        try:
            while SCREEN not in screen.read_text(encoding="utf-8", errors="replace"):
                if process.poll() is not None or time.monotonic() - began > _STARTS_WITHIN:
                    raise RuntimeError(f"mailposture run: {screen.read_text(encoding='utf-8')[-2000:]}")
                time.sleep(0.02)
            yield process.pid, time.monotonic() - began
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(_ENDS_WITHIN)


def _program(arguments: Sequence[str], folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=output,
        stderr=subprocess.STDOUT,
    )


def least(command: Sequence[str], folder: Path, rounds: int) -> float:
    """Seconds of the quickest of some rounds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return min(times)


def family(pid: int) -> Iterator[int]:
    """A process and all that it has started, and those have."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from family(int(child))


def proportional_mebibytes(pid: int) -> float:
    """Memory of a process, what it shares divided among those that share it."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
    assert found, "no Pss: Linux before 4.14"
    return int(found[1]) / 1024


def name_of(pid: int) -> str:
    """What a process is for: the subcommand, or the engine."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    if any(word.endswith("engine_child") for word in words):
        return "engine"
    return words[words.index("cli") + 1] if "cli" in words else words[0]


def memory(pid: int) -> dict[str, float]:
    """MiB of each process of the family."""
    return {name_of(each): proportional_mebibytes(each) for each in family(pid)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of which the quickest counts (default: 5)")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds after the screen, for memory (default: 60)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with demo(folder) as (pid, first):
            time.sleep(arguments.wait)
            mailed = memory(pid)
        with demo(folder) as (pid, again):
            bare = least([sys.executable, "-c", "import click"], folder, arguments.rounds)
            print(f"{'mailposture run, to the screen':40} {first:6.2f} s the first time, {again:6.2f} s again")
            print(f"{'Python with click alone':40} {bare:6.2f} s")
            for words in (["--help"], ["summary"], ["sql", "SELECT 1"]):
                seconds = least([*PROGRAM, *words], folder, arguments.rounds)
                print(f"{'mailposture ' + ' '.join(words):40} {seconds:6.2f} s")
            time.sleep(arguments.wait)
            started = memory(pid)
    mailed["all"], started["all"] = sum(mailed.values()), sum(started.values())
    print(f"{'memory, MiB':40} {'demo mailed':>14} {'started again':>14}")
    for name in mailed:
        print(f"{name:40} {mailed[name]:14.0f} {started[name]:14.0f}")


if __name__ == "__main__":
    main()
