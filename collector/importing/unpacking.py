"""Compressed files as streams: gzip, bzip2, xz, Zstandard and LZ4, as tools and Dovecot's plugins write them.

Everything that is unpacked of one file, layers within layers, shares one allowance, so that a bomb ends early.
"""

from __future__ import annotations

import bz2
import io
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, Final, Protocol, cast

import lz4.block
import pyarrow as pa

from collector.documents.compression import GZIP_MAGIC
from collector.documents.limits import LIMITS
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

_STEP: Final = 64 * 1024
_MEMORY: Final = 128 * 1024 * 1024  # what a file may ask xz to set aside; `xz -9` asks for 65 MiB
_DOVECOT_LZ4_MAGIC: Final = b"Dovecot-LZ4\x0d\x2a\x9b\xc5"  # then the size of its largest chunk, four bytes
_DOVECOT_LZ4_CHUNK: Final = 1024 * 1024  # bytes; Dovecot writes 64 KiB


class Readable(Protocol):
    """Something to read so many bytes of, or fewer."""

    def read(self, size: int, /) -> bytes: ...


class Stream(Protocol):
    """Bytes to be read from the beginning to the end; what was read before a fault is not lost with read1()."""

    def read(self, size: int = -1, /) -> bytes: ...
    def read1(self, size: int = -1, /) -> bytes: ...
    def seekable(self) -> bool: ...


FAULTS: Final = (zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, IndexError, RuntimeError)
"""What reading something damaged raises."""


class Allowance:
    """How much one file may still unpack to."""

    def __init__(self, size: int) -> None:
        self._left = max(size * LIMITS.compression_ratio, LIMITS.unpacked_bytes)

    def spend(self, unpacked: int) -> None:
        """Account for bytes; raises RejectedError once they are too many."""
        self._left -= unpacked
        if self._left < 0:
            raise RejectedError(
                Reason.TOO_LARGE,
                f"unpacks to over {LIMITS.compression_ratio} times its size, as only a bomb does; "
                "the rest was not read",
            )


def format_of(beginning: bytes) -> str:
    """The name of the compression that bytes begin with, or empty."""
    return next((name for name, (magic, _) in _FORMATS.items() if beginning.startswith(magic)), "")


class Packed(Protocol):
    """What a compressed stream holds."""

    @property
    def rest(self) -> Stream | None:
        """What follows it, once all of it was read."""

    def read(self, size: int, /) -> bytes: ...


def opened(stream: Stream, name: str) -> Packed:
    """Open a compressed stream. Reading it raises one of FAULTS."""
    magic, begin = _FORMATS[name]
    return begin(stream, magic)


def counted(packed: Readable, allowance: Allowance) -> Stream:
    """What a compressed stream holds, as a stream. Reading it also raises RejectedError, when it is too much."""
    return io.BufferedReader(_Counted(packed, allowance), _STEP)


class _Counted(io.RawIOBase):
    """Accounts for what is read of a stream."""

    def __init__(self, stream: Readable, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self._stream.read(len(view))
        self._allowance.spend(len(chunk))
        view[: len(chunk)] = chunk
        return len(chunk)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor in the form that the others have."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(31)  # a gzip header and trailer
        self._full = False

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._full

    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes:
        chunk = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self._full = len(chunk) == max_length
        return chunk


class _Members:
    """Compressed streams one after the other, as `cat *.gz` makes them, up to the end or to other bytes."""

    def __init__(self, stream: Stream, magic: bytes, begin: Callable[[], _Decompressor]) -> None:
        self._stream = stream
        self._magic = magic
        self._begin = begin
        self._member = begin()
        self.rest: Stream | None = None

    def read(self, size: int, /) -> bytes:
        while self.rest is None:
            if self._member.eof and not self._next():
                break
            packed = self._stream.read(_STEP) if self._member.needs_input else b""
            if chunk := self._member.decompress(packed, max_length=size):
                return chunk
            if not packed and self._member.needs_input and not self._member.eof:
                raise EOFError("it is truncated")
        return b""

    def _next(self) -> bool:
        """Whether another member follows. Padding with NULs, as on tapes, and empty lines are nothing."""
        rest = self._member.unused_data
        while not (rest := rest.lstrip(b"\0\r\n")):
            if not (rest := self._stream.read(_STEP)):
                return False
        following = begun(rest, self._stream)
        if following.peek(len(self._magic)).startswith(self._magic):
            self._member, self._stream = self._begin(), following
        else:
            self.rest = following
        return self.rest is None


class _Again(io.RawIOBase):
    """A stream from which some bytes were read that are to be read again."""

    def __init__(self, beginning: bytes, stream: Stream) -> None:
        self._beginning = beginning
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._beginning:
            chunk, self._beginning = self._beginning[: len(view)], self._beginning[len(view) :]
        else:
            chunk = self._stream.read1(len(view))
        view[: len(chunk)] = chunk
        return len(chunk)


def begun(beginning: bytes, stream: Stream) -> io.BufferedReader:
    """The stream whose first bytes were read already, from its beginning."""
    return io.BufferedReader(_Again(beginning, stream), _STEP)


class _DovecotLz4:
    """Mails as Dovecot's zlib plugin keeps them: chunks, each with its size in front."""

    rest = None

    def __init__(self, stream: Stream, magic: bytes) -> None:
        self._stream = stream
        self._chunk = b""
        (largest,) = struct.unpack(">I", self._stream.read(len(magic) + 4)[len(magic) :])
        self._largest = min(largest, _DOVECOT_LZ4_CHUNK)

    def read(self, size: int, /) -> bytes:
        while not self._chunk:
            if not (length := self._stream.read(4)):
                return b""
            (packed,) = struct.unpack(">I", length)
            if packed > 2 * _DOVECOT_LZ4_CHUNK:
                raise ValueError(f"a chunk of {packed} bytes")
            content = self._stream.read(packed)
            if len(content) < packed:
                raise EOFError("it is truncated")
            self._chunk = lz4.block.decompress(content, uncompressed_size=self._largest)
        chunk, self._chunk = self._chunk[:size], self._chunk[size:]
        return chunk


class _ByArrow:
    """Frames one after the other; what follows them is damage to Arrow, which reads them."""

    rest = None

    def __init__(self, stream: Stream, codec: str) -> None:
        self._stream = pa.CompressedInputStream(stream, codec)

    def read(self, size: int, /) -> bytes:
        return bytes(self._stream.read(size))


def _members(begin: Callable[[], object]) -> Callable[[Stream, bytes], Packed]:
    return lambda stream, magic: _Members(stream, magic, cast("Callable[[], _Decompressor]", begin))


_FORMATS: Final[dict[str, tuple[bytes, Callable[[Stream, bytes], Packed]]]] = {
    "gzip": (GZIP_MAGIC, _members(_Gzip)),
    "bzip2": (b"BZh", _members(bz2.BZ2Decompressor)),
    "xz": (b"\xfd7zXZ\0", _members(lambda: lzma.LZMADecompressor(memlimit=_MEMORY))),
    "LZ4": (b"\x04\x22\x4d\x18", lambda stream, _: _ByArrow(stream, "lz4")),
    "LZ4 by Dovecot": (_DOVECOT_LZ4_MAGIC, _DovecotLz4),
    "Zstandard": (b"\x28\xb5\x2f\xfd", lambda stream, _: _ByArrow(stream, "zstd")),
}
