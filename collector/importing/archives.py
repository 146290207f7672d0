"""Files that hold many messages, archives within archives too. Read one by one, in bounded memory.

What a file is, its first bytes say; names lie. An archive's messages come out as bytes, whatever they are; what is
wrong comes out as a Fault in their place, and the rest goes on.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import tarfile
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, TypeVar, cast

from collector.documents import in_a_row
from collector.documents.compression import EMPTY_ZIP_MAGIC, ZIP_MAGIC
from collector.documents.content import kind_of
from collector.documents.limits import LIMITS
from collector.documents.mail import is_mail
from collector.importing import mails, mboxes, unpacking
from collector.importing.litter import is_litter
from collector.importing.unpacking import Allowance, Stream, begun, counted
from collector.importing.unread import container_of
from reports.document import Form
from reports.rejection import Fault, Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_AnyMember = TypeVar("_AnyMember", bound=tarfile.TarInfo)
Content = tuple[str, bytes | Fault | None]
"""The member's name, "" for the file itself; its bytes, or what is wrong, or None where it was passed over."""

MOST_MEMBERS: Final = 100_000  # of a zip: its directory is held in memory, up to a kilobyte each
_MOST_LAYERS: Final = 5  # archives in archives: .tar.gz, and a .json.gz in a .zip in that
_BEGINNING: Final = 512  # bytes that say what a file is: the header of a tar
_STEP: Final = 64 * 1024
_ZIP_ENTRY: Final = b"PK\x01\x02"  # begins each member's entry in a zip's directory
_ZIP_END: Final = struct.Struct("<4s4H2LH")  # its magic, and last the length of the comment that follows
_ZIP_END_MAGIC: Final = b"PK\x05\x06"
_LONGEST_COMMENT: Final = 65_535
_ENCRYPTED: Final = 0x1
_EXTENDED: Final = frozenset(
    (
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    )
)
_WIDE: Final = re.compile(rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff|[{<\[]\0|\0[{<\[]")  # UTF-16 or UTF-32
_NOTES_OF_APPLE: Final = re.compile(rb"\s*<\?xml(?:(?!</plist>).)*</plist>\s*", re.DOTALL)
_FAULTS: Final = (*unpacking.FAULTS, zipfile.BadZipFile, tarfile.TarError)


def contents(file: BinaryIO) -> Iterator[Content]:
    """All messages of a seekable file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    beginning = file.read(_BEGINNING)
    file.seek(0)
    try:
        yield from _contents(cast("Stream", file), beginning, Allowance(size), 0)
    except RejectedError as error:
        yield "", error.fault


def number_of_contents(file: BinaryIO) -> int:
    """How many messages contents() will find, for a progress bar; as 1 counts what cannot be counted cheaply."""
    beginning = file.read(len(mboxes.BEGINNING))
    file.seek(0)
    if beginning.startswith(ZIP_MAGIC):
        return _zip_members(file)
    if beginning.startswith(mboxes.BEGINNING):
        return sum(1 for _ in mboxes.mails_of(cast("Stream", file), largest=LIMITS.message_bytes))
    return 1


def _contents(stream: Stream, beginning: bytes, allowance: Allowance, layers: int, what: str = "") -> Iterator[Content]:
    """What a stream holds that begins so. Raises RejectedError when the allowance is used up, and nothing else."""
    try:
        if packed := unpacking.format_of(beginning):
            yield from _unpacked(stream, packed, allowance, layers)
        elif beginning.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC)):
            yield from _zip(stream, allowance, layers)
        elif _is_tar(beginning):
            yield from _tar(stream, allowance, layers)
        else:
            yield from _single(stream, beginning)
    except _FAULTS as error:
        yield "", Fault(Reason.BAD_COMPRESSION, f"{what} is damaged or truncated: {error}".lstrip())


def _layer(stream: Stream, allowance: Allowance, layers: int, what: str = "") -> Iterator[Content]:
    """What a stream within another holds. Raises as _contents()."""
    if layers == _MOST_LAYERS:
        yield "", Fault(Reason.TOO_NESTED, f"archives in archives, more than {_MOST_LAYERS} deep; unpack it first")
        return
    try:
        beginning = stream.read(_BEGINNING)
    except _FAULTS as error:
        yield "", Fault(Reason.BAD_COMPRESSION, f"{what} is damaged or truncated: {error}".lstrip())
        return
    yield from _contents(begun(beginning, stream), beginning, allowance, layers + 1, what)


def _unpacked(stream: Stream, name: str, allowance: Allowance, layers: int) -> Iterator[Content]:
    packed = unpacking.opened(stream, name)
    yield from _layer(counted(packed, allowance), allowance, layers, name)
    if packed.rest is not None:
        yield from _within("rest", _layer(packed.rest, allowance, layers))


def _single(stream: Stream, beginning: bytes) -> Iterator[Content]:
    """What is no archive, but may hold several messages all the same. Raises what reading raises."""
    if words := container_of(beginning):
        yield "", Fault(Reason.UNREADABLE, f"is {words}")
    elif beginning.lstrip(b"\r\n").startswith(mboxes.BEGINNING):
        yield from _numbered(mboxes.mails_of(stream, largest=LIMITS.message_bytes), always=True)
    elif apple := mails.size_of_apple_mail(beginning):
        yield from _apple_mail(stream, *apple)
    elif (kind := kind_of(beginning.lstrip(b"\x1e"))) in ("json", "xml") and not _WIDE.match(beginning):
        yield from _documents(stream, Form(kind))
    elif is_mail(beginning):
        yield from _mails(stream)
    else:
        yield "", _whole(stream)


def _apple_mail(stream: Stream, at: int, size: int) -> Iterator[Content]:
    """A mail, and what Mail knows about it; what follows that is damage, or another one."""
    stream.read(at)
    if size > LIMITS.message_bytes:
        yield "", _too_large()
        return
    yield "", stream.read(size)
    rest = _whole(stream)
    if isinstance(rest, Fault):
        yield "rest", rest
    elif rest.strip() and _NOTES_OF_APPLE.fullmatch(rest) is None:
        yield "rest", Fault(Reason.UNREADABLE, f"{len(rest)} bytes after a mail of Apple Mail; divide the file")


def _within(name: str, found: Iterable[Content]) -> Iterator[Content]:
    """What was found in a member, under its name."""
    for member, content in found:
        yield (name + member if member.startswith("#") else f"{name}!{member}" if member else name), content


def _numbered(found: Iterator[bytes | None], *, always: bool = False) -> Iterator[Content]:
    """Messages that have no name: by number, unless there is only one."""
    only: list[bytes | None] = []
    try:
        for number, content in enumerate(found, 1):
            if number == 1 and not always:
                only = [content]
                continue
            if only:
                yield "#1", _or_too_large(only.pop())
            yield f"#{number}", _or_too_large(content)
    except _FAULTS:
        if only:
            yield "", _or_too_large(only.pop())
        raise
    if only:
        yield "", _or_too_large(only.pop())


def _or_too_large(content: bytes | None) -> bytes | Fault | None:
    if content is None:
        return _too_large()
    return None if mboxes.are_notes(content) else content


def _too_large() -> Fault:
    return Fault(Reason.TOO_LARGE, f"more than {LIMITS.message_bytes} bytes, which no report has")


def _whole(stream: Stream) -> bytes | Fault:
    """In steps: asked for megabytes at once, Python sets them aside first, for every small file again."""
    body = io.BytesIO()
    while chunk := stream.read1(_STEP):
        body.write(chunk)
        if body.tell() > LIMITS.message_bytes:
            return _too_large()
    return body.getvalue()


class _Ahead:
    """A stream of which the beginning was read, up to what a message may have: to look at it and to read it again."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._damage = ""  # words, not the exception, which holds its frames
        beginning = io.BytesIO()
        try:
            while beginning.tell() <= LIMITS.message_bytes and (chunk := stream.read1(_STEP)):
                beginning.write(chunk)
        except _FAULTS as error:
            self._damage = str(error) or type(error).__name__
        self.content = beginning.getvalue()
        self._beginning = beginning
        beginning.seek(0)
        self.is_all = not self._damage and len(self.content) <= LIMITS.message_bytes

    def read1(self, size: int = -1, /) -> bytes:
        chunk = self._beginning.read(size)
        if not chunk and self._damage:
            raise EOFError(self._damage)
        return chunk or self._stream.read1(size)


def _documents(stream: Stream, form: Form) -> Iterator[Content]:
    ahead = _Ahead(stream)
    if ahead.is_all and not in_a_row.may_be_several(form, ahead.content):
        yield "", ahead.content
    else:
        yield from _numbered(in_a_row.pieces_of(ahead.read1, largest=LIMITS.message_bytes))


def _mails(stream: Stream) -> Iterator[Content]:
    ahead = _Ahead(stream)
    if ahead.is_all and not mails.may_be_several(ahead.content):
        yield "", ahead.content
    else:
        yield from _numbered(mails.mails_of(ahead, largest=LIMITS.message_bytes))


def _zip(stream: Stream, allowance: Allowance, layers: int) -> Iterator[Content]:
    if stream.seekable():
        yield from _zip_file(cast("BinaryIO", stream), allowance, layers)
        return
    with tempfile.TemporaryFile() as file:  # a zip is read from its end
        shutil.copyfileobj(stream, file)
        yield from _zip_file(file, allowance, layers)


def _zip_file(file: BinaryIO, allowance: Allowance, layers: int) -> Iterator[Content]:
    size = file.seek(0, os.SEEK_END)
    if _zip_members(file) > MOST_MEMBERS:
        yield "", Fault(Reason.TOO_MANY, f"zip has more than {MOST_MEMBERS} members; split it")
        return
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            first = min([archive.start_dir, *(member.header_offset for member in members)])
            if first > 0:  # as `cat *.zip` makes it
                file.seek(0)
                yield from _within("before", _part_of_zip(file, first, allowance, layers))
            for member in members:
                if member.is_dir():
                    continue
                if is_litter(member.filename, member.file_size):
                    yield member.filename, None
                else:
                    yield from _within(member.filename, _zip_member(archive, member, allowance, layers))
        if (end := _end_of_zip(file, size)) < size:
            file.seek(end)
            yield from _within("rest", _part_of_zip(file, size - end, allowance, layers))
    except _FAULTS as error:
        yield "", Fault(Reason.BAD_COMPRESSION, f"zip of {size} bytes is damaged or truncated: {error}")


def _part_of_zip(file: BinaryIO, size: int, allowance: Allowance, layers: int) -> Iterator[Content]:
    """What is before or after an archive; NULs and empty lines are nothing."""
    with tempfile.TemporaryFile() as part:
        while size > 0 and (chunk := file.read(min(size, _STEP))):
            size -= len(chunk)
            part.write(chunk if part.tell() else chunk.lstrip(b"\0\r\n"))
        if part.tell():
            part.seek(0)
            yield from _layer(cast("Stream", part), allowance, layers)


def _end_of_zip(file: BinaryIO, size: int) -> int:
    """Where the archive ends, with its comment."""
    start = max(0, size - _ZIP_END.size - _LONGEST_COMMENT)
    file.seek(start)
    tail = file.read()
    found = tail.rfind(_ZIP_END_MAGIC, 0, max(0, len(tail) - _ZIP_END.size) + len(_ZIP_END_MAGIC))
    return min(size, start + found + _ZIP_END.size + int(_ZIP_END.unpack_from(tail, found)[-1])) if found >= 0 else size


def _zip_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, allowance: Allowance, layers: int
) -> Iterator[Content]:
    if member.flag_bits & _ENCRYPTED:
        yield "", Fault(Reason.BAD_COMPRESSION, "is encrypted; unpack it first")
        return
    # The other methods unpack without a bound in the standard library.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield "", Fault(Reason.BAD_COMPRESSION, f"uses method {member.compress_type}, not deflate; unpack it first")
        return
    try:
        with archive.open(member) as packed:
            yield from _layer(counted(packed, allowance), allowance, layers)
    except _FAULTS as error:
        yield "", Fault(Reason.BAD_COMPRESSION, f"is damaged or truncated: {error}")


def _zip_members(file: BinaryIO) -> int:
    """The number of members, before the directory is read into memory; what the zip says about itself may be a lie."""
    file.seek(0)
    members, overlap = 0, b""
    while chunk := file.read(_STEP):
        members += (overlap + chunk).count(_ZIP_ENTRY)
        overlap = chunk[-len(_ZIP_ENTRY) + 1 :]
    return members


def _is_tar(beginning: bytes) -> bool:
    """Whether it is a member's header: of tar before POSIX, nothing but its checksum says so."""
    try:
        tarfile.TarInfo.frombuf(beginning, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class _Member(tarfile.TarInfo):
    """A member whose extended header, which tarfile holds in memory, is not large."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        return _not_large(super().frombuf(buf, encoding, errors))

    @classmethod
    def _frombuf(cls, *arguments: Any, **more: Any) -> Any:
        """What CPython calls instead since gh-141707."""
        return _not_large(cast("Any", super())._frombuf(*arguments, **more))  # noqa: SLF001  it is ours to override


def _not_large(member: _AnyMember) -> _AnyMember:
    if member.type in _EXTENDED and member.size > LIMITS.header_bytes:
        raise tarfile.TarError(f"a header of {member.size} bytes")
    return member


class _Blocks:
    """A stream read block by block, of which the last block is known: only one of NULs ends an archive."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.last = b""
        self.has_ended = False

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self.last = block or self.last
        self.has_ended = len(block) < size
        return block


def _tar(stream: Stream, allowance: Allowance, layers: int) -> Iterator[Content]:
    # Block by block, so that what follows the archive is left to read: another one, as `cat *.tar` makes it.
    blocks = _Blocks(stream)
    with tarfile.open(
        fileobj=cast("BinaryIO", blocks), mode="r|", bufsize=tarfile.BLOCKSIZE, tarinfo=_Member
    ) as archive:
        while (member := archive.next()) is not None:
            cast("Any", archive).members = []  # or all of them stay in memory
            yield from _within(member.name, _tar_member(archive, member, allowance, layers))
    rest = b"" if len(blocks.last) == tarfile.BLOCKSIZE and blocks.has_ended else blocks.last.lstrip(b"\0")
    if blocks.has_ended and blocks.last.strip(b"\0"):
        yield "", Fault(Reason.BAD_COMPRESSION, "tar is truncated: it has no end")
    while not (rest := rest.lstrip(b"\0")):
        if not (rest := stream.read1(_STEP)):
            return
    yield from _within("rest", _layer(begun(rest, stream), allowance, layers))


def _tar_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, allowance: Allowance, layers: int
) -> Iterator[Content]:
    if member.isdir():
        return
    is_link = member.islnk() or member.issym()  # to another member, or to what is not here
    if is_link or is_litter(member.name, member.size):
        yield "", None
    elif (packed := archive.extractfile(member) if member.isreg() else None) is not None:
        yield from _layer(counted(packed, allowance), allowance, layers)
    else:
        yield "", Fault(Reason.UNREADABLE, "is no file: a device, a pipe, or what only the program knows that wrote it")
