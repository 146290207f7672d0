"""Reports out of files: mails, JSON, XML, mbox, archives, Maildirs, folders of all these, and standard input.

Files that an operator imports are trusted. Whatever cannot be read is found too, with its reason: an import that
passes over a file in silence has lost it. What systems and mail programs keep for themselves is passed over, and is
counted.
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
from collector.importing.litter import is_litter, is_litter_folder
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


_PASSED_OVER = Fault(Reason.NO_REPORT, "kept by a system or a mail program for itself")
_APART = Fault(
    Reason.UNREADABLE,
    "is a mail of Apple Mail without its attachments, which are kept elsewhere; export the mailbox with Mail "
    "(Mailbox > Export Mailbox) and import that",
)


@dataclass(frozen=True, slots=True)
class Found:
    """One message, or why there is none; or what was passed over."""

    envelope: Envelope  # its name is the path, with `!member` for what lies in an archive
    body: bytes = b""
    fault: Fault | None = None
    passed_over: bool = False


def find(paths: Iterable[Path], *, without: Path | None = None) -> Iterator[Found]:
    """Everything in these files and folders, one at a time; `-` is standard input. Never raises for what it reads.

    The folder `without` is passed over wherever the walk comes to it.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            yield from _find_in_standard_input()
            continue
        for file, fault in _walk(path, without):
            if fault is _PASSED_OVER:
                yield Found(_envelope(str(file)), passed_over=True)
            elif fault is not None:
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
        match content:
            case bytes():
                yield Found(envelope, content)
            case None:
                yield Found(envelope, passed_over=True)
            case fault:
                yield Found(envelope, fault=fault)


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
    """One entry of a folder. In `tmp` of a Maildir are mails that are being delivered, or never were."""
    path = Path(entry.path)
    try:
        if entry.is_dir():
            if (is_maildir and entry.name == "tmp") or is_litter_folder(entry.name):
                yield from ((Path(file.path), _PASSED_OVER) for file in os.scandir(path))
            else:
                pending.append(path)
        elif is_litter(entry.name, entry.stat().st_size):
            yield path, _PASSED_OVER
        elif entry.is_file():
            yield path, _of_apple(path) if entry.name.endswith(".partial.emlx") else None
        else:
            mode = entry.stat().st_mode
            yield path, Fault(Reason.UNREADABLE, f"is {_kind(mode)}, not a file")
    except OSError as error:
        yield path, _unreadable(error)


def _of_apple(path: Path) -> Fault:
    """A mail without its attachments: those in the folder `Attachments` beside `Messages` are found there."""
    number = path.name.removesuffix(".partial.emlx")
    return _PASSED_OVER if (path.parent.parent / "Attachments" / number).is_dir() else _APART


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
