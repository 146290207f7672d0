"""Values that reports of every kind have, read from what untrusted reporters wrote."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from mailposture.domain_names import normalize
from reports.limits import TEXT_LENGTH, WARNINGS
from reports.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_ADDRESS: Final = bytes(16)  # `::`, which no server has
LONGEST_NAME: Final = 300  # characters of a name with white space around it
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"  # RFC 4291, section 2.5.5.2

# The same few names fill most reports. Long text stays out, where untrusted senders could fill memory with it.
_known_name: Final = lru_cache(maxsize=65_536)(normalize)


class Remarks:
    """What was odd about a report and how it was read; each once, at most WARNINGS of them."""

    def __init__(self) -> None:
        self._remarks: dict[str, None] = {}

    def add(self, remark: str) -> None:
        if len(self._remarks) <= WARNINGS:
            self._remarks[clean(remark, TEXT_LENGTH)] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._remarks)


def domain_name(value: object) -> str | None:
    """A domain or host name, normalized; None if it is something else."""
    return _known_name(value) if type(value) is str and len(value) <= LONGEST_NAME else None


def packed_address(written: str) -> bytes | None:
    """An IP address as 16 bytes, IPv4 mapped into IPv6; or None. What is written around one is left out."""
    return _known_address(written) if len(written) <= LONGEST_NAME else None


@lru_cache(maxsize=65_536)
def _known_address(written: str) -> bytes | None:
    return _packed(written) or _packed(_bare_address(written))


def _packed(written: str) -> bytes | None:
    try:
        if ":" in written:
            return socket.inet_pton(socket.AF_INET6, written)
        return _V4_MAPPED + socket.inet_pton(socket.AF_INET, written)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return None


def _bare_address(written: str) -> str:
    """Without brackets, port, zone id (RFC 4007) or the `IPv6:` tag of address literals (RFC 5321, section 4.1.3)."""
    bare = written.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    return bare.partition("%")[0].lower().removeprefix("ipv6:").strip()
