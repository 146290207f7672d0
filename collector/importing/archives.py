"""Files that hold many messages: mbox, zip, and gzip around an mbox or a mail. Read one by one, in bounded memory.

What a file is, its first bytes say; names lie. An archive's messages come out as bytes, whatever they are; what is
wrong comes out as a Fault in their place, and the rest goes on.
"""

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from collector.documents.compression import EMPTY_ZIP_MAGIC, GZIP_MAGIC, ZIP_MAGIC
from collector.documents.limits import LIMITS
from collector.documents.mail import is_mail
from reports.rejection import Fault, Reason

Content = tuple[str, bytes | Fault]  # the member's name, "" for the file itself; its bytes, or what is wrong

MOST_MEMBERS = 100_000  # of a zip: its directory is held in memory, up to a kilobyte each
_MBOX = b"From "
_BEGINNING = 512  # bytes that say what a file is
_STEP = 64 * 1024
_ZIP_ENTRY = b"PK\x01\x02"  # begins each member's entry in a zip's directory
_ENCRYPTED = 0x1
_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, IndexError, RuntimeError)


def contents(file: BinaryIO) -> Iterator[Content]:
    """All messages of a seekable file."""
    beginning = file.read(_BEGINNING)
    file.seek(0)
    if beginning.startswith((ZIP_MAGIC, EMPTY_ZIP_MAGIC)):
        yield from _zip(file)
    elif beginning.startswith(GZIP_MAGIC):
        yield from _gzip(file)
    elif beginning.startswith(_MBOX):
        yield from _mbox(file)
    else:
        yield "", _whole(file)


def number_of_contents(file: BinaryIO) -> int:
    """How many messages contents() will find, for a progress bar; as 1 counts what cannot be counted cheaply."""
    beginning = file.read(len(_MBOX))
    file.seek(0)
    if beginning.startswith(ZIP_MAGIC):
        return _zip_members(file)
    if beginning.startswith(_MBOX):
        return sum(1 for _ in _mbox(file))
    return 1


def _whole(file: BinaryIO) -> bytes | Fault:
    """In steps: asked for megabytes at once, Python sets them aside first, for every small file again."""
    body = io.BytesIO()
    while chunk := file.read(_STEP):
        body.write(chunk)
        if body.tell() > LIMITS.message_bytes:
            return _too_large()
    return body.getvalue()


def _too_large() -> Fault:
    return Fault(Reason.TOO_LARGE, f"more than {LIMITS.message_bytes} bytes, which no report has")


def _gzip(file: BinaryIO) -> Iterator[Content]:
    """A report in gzip stays as it is, to be decoded under its own limits; mail in gzip is unpacked here."""
    with gzip.GzipFile(fileobj=file) as stream:
        unpacked = cast("BinaryIO", stream)
        try:
            beginning = unpacked.read(_BEGINNING)
            unpacked.seek(0)
            if beginning.startswith(_MBOX):
                yield from _mbox(unpacked)
                return
            if is_mail(beginning) and not beginning.startswith(b"{"):
                yield "", _whole(unpacked)
                return
        except _FAULTS as error:
            yield "", Fault(Reason.BAD_COMPRESSION, f"gzip is damaged or truncated: {error}")
            return
    file.seek(0)
    yield "", _whole(file)


def _mbox(file: BinaryIO) -> Iterator[Content]:
    """Mails of an mbox (RFC 4155): each begins with a line `From …` at the start or after an empty line.

    Such lines inside a mail carry a `>` in front, which is taken off (mboxrd; mboxo cannot be distinguished).
    """
    number, mail = 0, io.BytesIO()
    after_empty_line, at_line_start = True, True
    while line := file.readline(_STEP):
        if at_line_start and after_empty_line and line.startswith(_MBOX):
            if number:
                yield f"#{number}", _mbox_mail(mail)
            number, mail = number + 1, io.BytesIO()
        elif mail.tell() <= LIMITS.message_bytes:  # of what is too large only the end matters
            mail.write(line[1:] if at_line_start and _is_quoted(line) else line)
        after_empty_line, at_line_start = line in (b"\n", b"\r\n"), line.endswith(b"\n")
    yield f"#{number}", _mbox_mail(mail)


def _mbox_mail(mail: io.BytesIO) -> bytes | Fault:
    return mail.getvalue() if mail.tell() <= LIMITS.message_bytes else _too_large()


def _is_quoted(line: bytes) -> bool:
    return line.startswith(b">") and line.lstrip(b">").startswith(_MBOX)


def _zip(file: BinaryIO) -> Iterator[Content]:
    """Members of a zip; all together may not be larger than no bomb is."""
    size = file.seek(0, os.SEEK_END)
    left = max(size * LIMITS.compression_ratio, LIMITS.ratio_exempt_bytes)
    try:
        if _zip_members(file) > MOST_MEMBERS:
            yield "", Fault(Reason.TOO_MANY, f"zip has more than {MOST_MEMBERS} members; split it")
            return
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.is_dir():
                    continue
                for name, content in _zip_member(archive, member):
                    left -= _cost(content)
                    yield name, content
                    if left < 0:
                        yield (
                            member.filename,
                            Fault(
                                Reason.TOO_LARGE,
                                f"zip unpacks to over {LIMITS.compression_ratio} times its size, as only a bomb does; "
                                "its other members were not read",
                            ),
                        )
                        return
    except _FAULTS as error:
        yield "", Fault(Reason.BAD_COMPRESSION, f"zip of {size} bytes is damaged or truncated: {error}")


def _cost(content: bytes | Fault) -> int:
    """Bytes unpacked for it, good for something or not."""
    if isinstance(content, bytes):
        return len(content)
    return LIMITS.message_bytes if content.reason is Reason.TOO_LARGE else 0


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[Content]:
    name = member.filename
    if member.flag_bits & _ENCRYPTED:
        yield name, Fault(Reason.BAD_COMPRESSION, "is encrypted; unpack it first")
        return
    # The other methods unpack without a bound in the standard library.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield name, Fault(Reason.BAD_COMPRESSION, f"uses method {member.compress_type}, not deflate")
        return
    try:
        with archive.open(member) as packed, io.BufferedReader(cast("io.RawIOBase", packed)) as stream:
            if stream.peek(len(_MBOX)).startswith(_MBOX):
                for number, content in _mbox(stream):
                    yield name + number, content
            else:
                yield name, _whole(stream)
    except _FAULTS as error:
        yield name, Fault(Reason.BAD_COMPRESSION, f"is damaged or truncated: {error}")


def _zip_members(file: BinaryIO) -> int:
    """The number of members, before the directory is read into memory; what the zip says about itself may be a lie."""
    file.seek(0)
    members, overlap = 0, b""
    while chunk := file.read(_STEP):
        members += (overlap + chunk).count(_ZIP_ENTRY)
        overlap = chunk[-len(_ZIP_ENTRY) + 1 :]
    return members
