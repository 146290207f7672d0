"""Ports for servers that tests start."""

from __future__ import annotations

import contextlib
import socket

from bench.ports import free_port

__all__ = ["free_port", "listens"]


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of this machine."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
