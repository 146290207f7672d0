"""The embedded engine's own program: ClickHouse in the chdb-core wheel, listening on loopback like a server.

    python -I -m mailposture.clickhouse.engine_child FOLDER HTTP_PORT NATIVE_PORT

FOLDER holds conf/ (config.xml and users.xml) and store/ (the data). The program lives as long as its standard input
stays open, so that it ends with whoever started it, however that one ends. It gets an empty environment, and shuts
itself in before any thread of the engine runs. Exit codes say what happened; messages go to standard error.

Nothing that SQL can say may lead to a file, or to a pipe: who opens one of the engine's again under /proc/self/fd and
reads it waits for ever. Table functions need a grant, which only the boot session has. Three that ask nobody are
stopped: file() is replaced (NO_FILE), sqlite() and time zones named `file:PATH` are refused by the kernel, for the way
in which they open (sandbox.py). Whatever else there may be can open the engine's own folders at most. Standard input is
a socket, which nobody can open again.

Boot goes: read the configuration, wait at a gate (a named pipe) until the filter is in place, listen.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mailposture.clickhouse.sandbox import SandboxUnavailableError, refuse_other_ways_to_open, restrict

if TYPE_CHECKING:
    from types import ModuleType

EXIT_ENGINE_FAILED = 70
EXIT_NOT_INSTALLED = 71
EXIT_API_CHANGED = 72

# A function of ours goes before one of ClickHouse's of the same name, whatever calls it.
NO_FILE = "CREATE FUNCTION file AS path -> toString(throwIf(path != '', 'SQL reads no files here'))"

_OWN_MEMORY = Path("/proc/self/statm")  # seven numbers, which the engine cannot do without

# The first statement fails, and the engine with it, where ClickHouse's own function answers.
_BOOT = """
    SELECT file('') FORMAT Null;
    SELECT count() FROM file('gate', 'LineAsString', 'line String') FORMAT Null;
    SYSTEM START LISTEN HTTP;
    SYSTEM START LISTEN TCP;
    SELECT count() FROM file(stdin, 'LineAsString', 'line String') FORMAT Null
"""


def main() -> int:
    """Run until standard input closes."""
    folder, ports = Path(sys.argv[1]), [int(port) for port in sys.argv[2:4]]
    try:
        library = _load()
        _make_gate(folder / "conf" / "gate")
        _shut_in(folder, ports)
        error = _run_engine(library, folder)
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


def _load() -> ModuleType:
    """The engine's library alone: the package around it would start an engine of its own, outside of the sandbox."""
    package = find_spec("chdb")
    spec = package and PathFinder.find_spec("_chdb", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("chdb")
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)  # as the package does: with its own memory allocator
    library = module_from_spec(spec)
    spec.loader.exec_module(library)
    return library


def _run_engine(library: ModuleType, folder: Path) -> str:
    """Listen until standard input closes; return what went wrong, if anything did."""
    os.chdir(folder / "conf")  # the engine reads ./config.xml of the working directory that it finds at its first query
    result = library.query(_BOOT, "TabSeparated", path=str(folder / "store"))
    return str(result.error_message()) if result.has_error() else ""


def _make_gate(gate: Path) -> None:
    gate.unlink(missing_ok=True)
    os.mkfifo(gate, 0o600)
    threading.Thread(target=_filter_calls, args=(gate,), daemon=True).start()


def _filter_calls(gate: Path) -> None:
    """Once the engine waits at the gate, and no configuration is left to read."""
    with gate.open("wb"):
        gate.unlink()
        try:
            refuse_other_ways_to_open()
        except SandboxUnavailableError as error:
            _warn(error)


def _shut_in(folder: Path, ports: list[int]) -> None:
    try:
        restrict(read=[folder / "conf", _OWN_MEMORY], write=[folder / "store"], listen=ports)
    except SandboxUnavailableError as error:
        _warn(error)


def _warn(error: SandboxUnavailableError) -> None:
    _say(f"warning: the engine runs without its whole sandbox, so its SQL users may reach files: {error}")


def _first_line(message: str) -> str:
    return message.partition(", Stack trace")[0].partition("\n")[0][:500]


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
