"""Shut a process in: it can open only the paths, and listen only on the ports, that it is given.

SQL users of the embedded engine cannot be kept from files by grants alone, because some functions need none, so the
kernel has to: with Landlock (https://docs.kernel.org/userspace-api/landlock.html), which knows paths, and a seccomp
filter, which knows the ways in which a file is opened. Both need no privileges and cannot be undone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
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

# How a machine calls itself, and the numbers of seccomp(), openat() and the others that open files there.
_CALLS = {"x86_64": (0xC000003E, 317, 257, (2, 437)), "aarch64": (0xC00000B7, 277, 56, (437, 437))}
_SET_MODE_FILTER, _FOR_EVERY_THREAD = 1, 1
# A filter's instructions (linux/bpf_common.h), its verdicts, and where it finds what the call is (linux/seccomp.h).
_LOAD, _IF_EQUAL, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
_NUMBER, _ARCHITECTURE, _THIRD_ARGUMENT = 0, 4, 32

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
        _gain_no_privileges()
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def refuse_other_ways_to_open() -> None:
    """Let no thread of this process open a file for reading but in the way of ClickHouse's own code, from now on.

    That code closes files when a program starts (O_CLOEXEC), and follows links. The libraries beside it do not: SQLite
    (O_NOFOLLOW), which makes the file if there is none, and whatever reads by fopen(), such as time zones do for a
    zone named `file:PATH`. Raises SandboxUnavailableError.
    """
    try:
        architecture, seccomp, openat, others = _CALLS[platform.machine()]
    except KeyError:
        raise SandboxUnavailableError(f"the calls of a {platform.machine()} are not known here") from None
    instructions = (  # each with how many to skip if true, if not, and with what it works
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 0, 9, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_EQUAL, 8, 0, others[0]),
        (_IF_EQUAL, 7, 0, others[1]),
        (_IF_EQUAL, 0, 5, openat),
        (_LOAD, 0, 0, _THIRD_ARGUMENT),
        (_IF_ANY_BIT, 3, 0, os.O_DIRECTORY),
        (_IF_ANY_BIT, 3, 0, os.O_NOFOLLOW),
        (_IF_ANY_BIT, 1, 0, os.O_WRONLY | os.O_RDWR),
        (_IF_ANY_BIT, 0, 1, os.O_CLOEXEC),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    )
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    memory = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(instructions), ctypes.addressof(memory))
    _gain_no_privileges()
    if thread := _call(seccomp, _SET_MODE_FILTER, _FOR_EVERY_THREAD, header):
        raise SandboxUnavailableError(f"the filter of calls does not fit thread {thread}")


def _gain_no_privileges() -> None:
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise SandboxUnavailableError(f"no_new_privs was refused ({os.strerror(ctypes.get_errno())})")


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
        raise SandboxUnavailableError(f"Landlock or seccomp is not available ({os.strerror(ctypes.get_errno())})")
    return result
