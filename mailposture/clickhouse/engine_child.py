"""The embedded engine's own program: ClickHouse in the chdb-core wheel, listening on loopback like a server.

    python -I -m mailposture.clickhouse.engine_child FOLDER HTTP_PORT NATIVE_PORT

FOLDER holds conf/ (config.xml and users.xml), store/ (the data) and tmp/. The program lives as long as its standard
input stays open, so that it ends with whoever started it, however that one ends. It gets an empty environment, and
shuts itself in before it loads the engine: SQL users could otherwise read any file of ours. Exit codes tell the parent
what to say; words go to standard error.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from mailposture.clickhouse.sandbox import SandboxUnavailableError, restrict

EXIT_ENGINE_FAILED = 70
EXIT_NOT_INSTALLED = 71
EXIT_API_CHANGED = 72

# What the engine looks at to size itself. Of processes only its own, whose environment is empty: others hold secrets.
_ABOUT_THE_MACHINE = (
    "/proc/self",
    "/proc/meminfo",
    "/proc/cpuinfo",
    "/proc/sys/vm",
    "/sys/fs/cgroup",
    "/sys/devices/system",
    "/dev/urandom",
)
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
_ABOUT_TIME = ("/usr/share/zoneinfo", "/etc/localtime")

_UNTIL_STDIN_CLOSES = "SELECT count() FROM file('/proc/self/fd/0', 'LineAsString', 'line String') FORMAT Null"
_BOOT = f"SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; {_UNTIL_STDIN_CLOSES}"


def main() -> int:
    """Run until standard input closes."""
    folder, ports = Path(sys.argv[1]), [int(port) for port in sys.argv[2:4]]
    _shut_in(folder, ports)
    try:
        error = _run_engine(folder)
    except ModuleNotFoundError:
        return EXIT_NOT_INSTALLED
    except (ImportError, AttributeError, TypeError) as changed:
        _say(f"its interface is not the one that starts listeners: {changed}")
        return EXIT_API_CHANGED
    except RuntimeError as failed:
        error = str(failed)
    if error:
        _say(_first_line(error))
        return EXIT_ENGINE_FAILED
    return 0


def _run_engine(folder: Path) -> str:
    """Listen until standard input closes; return what went wrong, if anything did."""
    os.environ["TMPDIR"] = str(folder / "tmp")  # the import below opens an engine of its own there, which nobody uses
    from chdb import _chdb  # noqa: PLC0415  loading it starts threads, which a sandbox made later would not reach

    os.chdir(folder / "conf")  # the engine reads ./config.xml of the working directory that it finds at its first query
    result = _chdb.query(_BOOT, "TabSeparated", path=str(folder / "store"))  # type: ignore[attr-defined]
    return str(result.error_message()) if result.has_error() else ""


def _shut_in(folder: Path, ports: list[int]) -> None:
    libraries = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    read = [
        folder / "conf",
        *libraries,
        Path(sys.base_prefix, "lib"),
        *map(Path, (*_LIBRARIES, *_ABOUT_THE_MACHINE, *_ABOUT_TIME)),
    ]
    try:
        restrict(read=read, write=[folder / "store", folder / "tmp", Path("/dev/null")], listen=ports)
    except SandboxUnavailableError as error:
        _say(f"warning: the engine runs without a sandbox, so its SQL users can read files of this account: {error}")


def _first_line(message: str) -> str:
    return message.partition(", Stack trace")[0].partition("\n")[0][:500]


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
