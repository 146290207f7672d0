"""Ports for servers that benches and tests start."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from pathlib import Path

# Below the ports that Linux gives to clients and to servers that ask for any (net.ipv4.ip_local_port_range), so that
# none of them takes one between our look and our server's start.
_PORTS = range(12_000, 32_000)

_numbers = itertools.count(os.getpid() * 97)  # parallel processes begin at different places, which saves looks only
# A byte for each port, locked by the process that has it: the lock ends with the process, however that ends.
_locks = (Path(tempfile.gettempdir()) / f"mailposture-ports-{os.getuid()}").open("ab")


def free_port() -> int:
    """A port on 127.0.0.1 that nothing listens on, and that no other bench or test gets before this process ends."""
    for number in itertools.islice(_numbers, len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        try:
            fcntl.lockf(_locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return port
    raise OSError("no port is free")
