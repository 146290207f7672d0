"""Reports out of files: mails, JSON, JSON in gzip, zips, mbox, maildir, folders of all these, and standard input.

Files that an operator imports are trusted. Whatever cannot be read is found too, with its reason: an import that
passes over a file in silence has lost it.
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from collector.importing.archives import contents, number_of_contents
from reports.envelope import Envelope, Source
from reports.rejection import Fault, Reason

STANDARD_INPUT = Path("-")
_SINGLE = (".eml", ".json", ".gz")  # names that count() goes by: opening each of 100,000 files would take seconds
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """One message, or why there is none."""

    envelope: Envelope  # its name is the path, with `!member` for what lies in an archive
    body: bytes = b""
    fault: Fault | None = None


def find(paths: Iterable[Path], *, without: Path | None = None) -> Iterator[Found]:
    """Everything in these files and folders, one at a time; `-` is standard input. Never raises for what it reads.

    The folder `without` is passed over wherever the walk comes to it.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            yield from _find_in_standard_input()
            continue
        for file, fault in _walk(path, without):
            if fault is not None:
                yield _fault(file, fault)
            else:
                yield from _find_in_file(file)


def count(paths: Iterable[Path], *, without: Path | None = None) -> int:
    """How many find() will yield, nearly: archives within archives count as one. Standard input counts as one."""
    total = 0
    for path in paths:
        for file, fault in [(path, None)] if path == STANDARD_INPUT else _walk(path, without):
            total += 1 if fault is not None or file == STANDARD_INPUT else _number_in_file(file)
    return total


def _find_in_file(path: Path) -> Iterator[Found]:
    try:
        with _open(path) as file:
            yield from _find_in(str(path), file)
    except OSError as error:
        yield _fault(path, _unreadable(error))


def _number_in_file(path: Path) -> int:
    if path.suffix in _SINGLE:
        return 1
    try:
        with _open(path) as file:
            return number_of_contents(file)
    except OSError:
        return 1


def _find_in_standard_input() -> Iterator[Found]:
    """By way of a temporary file, since a zip is read from its end."""
    with tempfile.TemporaryFile() as file:
        try:
            shutil.copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            yield _fault(STANDARD_INPUT, _unreadable(error))
            return
        file.seek(0)
        yield from _find_in("standard input", file)


def _find_in(name: str, file: BinaryIO) -> Iterator[Found]:
    for member, content in contents(file):
        envelope = _envelope(f"{name}!{member}" if member else name)
        yield Found(envelope, content) if isinstance(content, bytes) else Found(envelope, fault=content)


def _open(path: Path) -> BinaryIO:
    """Open a regular file, and nothing that would make us wait; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(0, f"is {_kind(mode)}, not a file")
        return os.fdopen(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def _walk(path: Path, without: Path | None) -> Iterator[tuple[Path, Fault | None]]:
    """All files below a path, or the path itself; every folder once, so that links in circles end, but one.

    In memory are the folders still to be read, never the files.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield path, _unreadable(error)
        return
    if not stat.S_ISDIR(mode):
        yield path, None if stat.S_ISREG(mode) else Fault(Reason.UNREADABLE, f"is {_kind(mode)}, not a file")
        return
    pending, seen = [path], set[tuple[int, int]]()
    if without is not None:
        with contextlib.suppress(OSError):
            seen.add(_identity(without))
    while pending:
        folder = pending.pop()
        try:
            identity = _identity(folder)
            if identity in seen:
                continue
            seen.add(identity)
            is_maildir = (folder / "cur").is_dir() and (folder / "new").is_dir()
            with os.scandir(folder) as entries:
                for entry in entries:
                    yield from _visit(entry, pending, is_maildir=is_maildir)
        except OSError as error:
            yield folder, _unreadable(error)


def _identity(folder: Path) -> tuple[int, int]:
    """What stays the same by whatever name or link the folder is reached."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def _visit(entry: os.DirEntry[str], pending: list[Path], *, is_maildir: bool) -> Iterator[tuple[Path, Fault | None]]:
    """One entry of a folder. Of a maildir only the mails count: neither its server's index files, nor `tmp`."""
    path = Path(entry.path)
    try:
        if entry.is_dir():
            if not (is_maildir and entry.name == "tmp"):
                pending.append(path)
        elif is_maildir or entry.name == ".DS_Store":
            return
        elif entry.is_file():
            yield path, None
        else:
            mode = entry.stat().st_mode
            yield path, Fault(Reason.UNREADABLE, f"is {_kind(mode)}, not a file")
    except OSError as error:
        yield path, _unreadable(error)


def _kind(mode: int) -> str:
    return next((words for test, words in _KINDS if test(mode)), "a folder" if stat.S_ISDIR(mode) else "something else")


def _unreadable(error: OSError) -> Fault:
    return Fault(Reason.UNREADABLE, error.strerror or str(error))


def _fault(path: Path, fault: Fault) -> Found:
    return Found(_envelope(str(path)), fault=fault)


def _envelope(name: str) -> Envelope:
    """Names are shown on terminals and kept in tables, and those of archive members are untrusted: escape the rest."""
    printable = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
    return Envelope(source=Source.FILE, received_at=datetime.now(UTC), name=printable, by_operator=True)
