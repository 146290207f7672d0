"""Shut a process in with Landlock: it can open only the paths, and listen only on the ports, that it is given.

SQL users of the embedded engine cannot be kept from reading files by grants alone (the scalar function `file()` needs
none), so the kernel has to. Landlock needs no privileges and cannot be undone. The numbers below are explained in
https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_ASK_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ON_FILES = _WRITE_FILE | _READ_FILE | _TRUNCATE
_READ = _READ_FILE | _READ_DIR
_ALL_OF_VERSION_2 = (1 << 14) - 1  # with REFER: without it, version 1 forbids every rename between folders
_EXECUTE = 1 << 0
_BIND_TCP = 1 << 0
_BIND_AND_CONNECT_TCP = 0b11

_libc = ctypes.CDLL(None, use_errno=True)


class SandboxUnavailableError(Exception):
    """This kernel cannot do it; the message says why and what would help."""


def restrict(*, read: Iterable[Path], write: Iterable[Path], listen: Iterable[int]) -> None:
    """Confine this thread, and whatever it starts from now on, for good.

    Files already open stay usable. Paths that do not exist are left out. From Landlock 4 (Linux 6.7) on, TCP
    connections to anywhere are refused too, and only the ports in `listen` can be bound.
    Raises SandboxUnavailableError.
    """
    version = _version()
    files = _ALL_OF_VERSION_2 | (_TRUNCATE if version >= 3 else 0)
    network = _BIND_AND_CONNECT_TCP if version >= 4 else 0
    attributes = struct.pack("=QQ", files, network) if version >= 4 else struct.pack("=Q", files)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in read:
            _allow_path(ruleset, path, files & _READ)
        for path in write:
            _allow_path(ruleset, path, files & ~_EXECUTE)
        if network:
            for port in listen:
                _call(_ADD_RULE, ruleset, _RULE_NET_PORT, struct.pack("=QQ", _BIND_TCP, port), 0)
        if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise SandboxUnavailableError(f"no_new_privs was refused ({os.strerror(ctypes.get_errno())})")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _version() -> int:
    try:
        version = _call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except SandboxUnavailableError as error:
        raise SandboxUnavailableError(f"{error}; it needs Linux 5.19 or later with Landlock enabled") from error
    if version < 2:
        raise SandboxUnavailableError("this kernel has Landlock 1; renames between folders need 2 (Linux 5.19)")
    return version


def _allow_path(ruleset: int, path: Path, access: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not path.is_dir():
            access &= _ON_FILES
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", access, opened), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: int | bytes | None) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise SandboxUnavailableError(f"Landlock is not available ({os.strerror(ctypes.get_errno())})")
    return result
