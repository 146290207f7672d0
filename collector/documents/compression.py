"""Unpacking under limits: nothing is unpacked further than it may be, whatever its headers promise."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from reports.rejection import Reason, RejectedError
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.documents.limits import Limits

GZIP_MAGIC: Final = b"\x1f\x8b"
ZIP_MAGIC: Final = b"PK\x03\x04"
EMPTY_ZIP_MAGIC: Final = b"PK\x05\x06"

_GZIP_WINDOW: Final = 31  # zlib's word for "a gzip header and trailer around it"
_CENTRAL_DIRECTORY_ENTRY: Final = b"PK\x01\x02"
_END_RECORD: Final = 22  # bytes
_ENCRYPTED: Final = 0x1
# What zipfile raises for damaged archives: it was written for files that a user chose to open.
_ZIP_FAULTS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    NotImplementedError,
    RuntimeError,
)


class Budget:
    """How much one message may still unpack to; shared by all its attachments: many small bombs are one bomb."""

    def __init__(self, *, limits: Limits) -> None:
        self.limits = limits
        self._left = limits.unpacked_bytes

    @property
    def next_output(self) -> int:
        """The most that the next output may hold."""
        return min(self._left, self.limits.document_bytes)

    def spend(self, *, packed: int, unpacked: int, what: str) -> None:
        """Account for an output; raises RejectedError if it is more than is allowed."""
        limits = self.limits
        if unpacked > self.next_output:
            raise RejectedError(
                Reason.TOO_LARGE, f"{what} unpacks to more than the {self.next_output} bytes that are allowed here"
            )
        if unpacked > limits.ratio_exempt_bytes and unpacked > packed * limits.compression_ratio:
            raise RejectedError(
                Reason.TOO_LARGE,
                f"{what} unpacks to more than {limits.compression_ratio} times its size, as only a bomb does",
            )
        self._left -= unpacked


def gunzip(packed: bytes, *, budget: Budget) -> tuple[bytes, bool]:
    """Unpack gzip, several members in a row too (RFC 1952, section 2.2); also says whether other bytes follow.

    Raises RejectedError: truncated, damaged, or too large.
    """
    output = b""
    rest = packed
    members = 0
    while rest.startswith(GZIP_MAGIC):
        members += 1
        if members > budget.limits.gzip_members:
            raise RejectedError(
                Reason.TOO_MANY, f"gzip has more than the {budget.limits.gzip_members} members that are allowed"
            )
        stream = zlib.decompressobj(_GZIP_WINDOW)
        allowed = budget.next_output - len(output) + 1
        if allowed <= 0:
            break
        try:
            output += stream.decompress(rest, allowed)
        except zlib.error as error:
            raise RejectedError(Reason.BAD_COMPRESSION, f"gzip of {len(packed)} bytes is damaged: {error}") from error
        if not stream.eof:
            if len(output) > budget.next_output:
                break
            raise RejectedError(Reason.BAD_COMPRESSION, f"gzip of {len(packed)} bytes is truncated")
        rest = stream.unused_data
    budget.spend(packed=len(packed), unpacked=len(output), what=f"gzip of {len(packed)} bytes")
    return output, bool(rest.strip(b"\0\r\n"))


def ends_as_zip(content: bytes) -> bool:
    """Whether nothing follows a zip: it ends with its end record, without a comment (APPNOTE.TXT, section 4.3.16)."""
    return content[-_END_RECORD:].startswith(EMPTY_ZIP_MAGIC)


def unzip(packed: bytes, *, budget: Budget) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file in a zip. Sizes declared in the archive are not trusted.

    Raises RejectedError: truncated, damaged, encrypted, an unusual method, too many members, or too large.
    """
    members = packed.count(_CENTRAL_DIRECTORY_ENTRY)
    if members > budget.limits.zip_members:
        raise RejectedError(
            Reason.TOO_MANY, f"zip has {members} members; {budget.limits.zip_members} are allowed in a message"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    yield member.filename, _unzip_member(archive, member, budget)
    except _ZIP_FAULTS as error:
        raise RejectedError(
            Reason.BAD_COMPRESSION, f"zip of {len(packed)} bytes is damaged or truncated: {clean(str(error), 100)}"
        ) from error


def _unzip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget) -> bytes:
    what = f"zip member {member.filename[:80]!r}"
    if member.flag_bits & _ENCRYPTED:
        raise RejectedError(Reason.BAD_COMPRESSION, f"{what} is encrypted")
    # The other methods unpack without a bound in the standard library, and no sender of reports uses them.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RejectedError(Reason.BAD_COMPRESSION, f"{what} uses method {member.compress_type}, not deflate")
    with archive.open(member) as stream:
        content = stream.read(budget.next_output + 1)
    budget.spend(packed=min(member.compress_size, len(content)), unpacked=len(content), what=what)
    return content
