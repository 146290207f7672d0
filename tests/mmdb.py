"""Writes small files in MMDB format: what a test knows about networks."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_MARKER = b"\xab\xcd\xefMaxMind.com"
_ARRAY_OF_NONE = bytes([0, 11 - 7])
_SEPARATOR = 16  # zero bytes between tree and data


def mmdb(networks: Mapping[str, dict[str, str | int]]) -> bytes:
    """A database of IPv6, with IPv4 at ::/96; networks do not overlap."""
    nodes: list[list[int | None]] = [[None, None]]
    data = bytearray()
    leaves: list[tuple[int, int, int]] = []  # node, side, place in the data
    for text, record in networks.items():
        network = ip_network(text)
        bits = f"{int(network.network_address):0128b}"
        length = network.prefixlen + (96 if isinstance(network, IPv4Network) else 0)
        node = 0
        for bit in bits[: length - 1]:
            child = nodes[node][int(bit)]
            if child is None:
                nodes.append([None, None])
                child = nodes[node][int(bit)] = len(nodes) - 1
            node = child
        leaves.append((node, int(bits[length - 1]), len(data)))
        data += _written(record)
    count = len(nodes)
    for node, side, place in leaves:
        nodes[node][side] = count + _SEPARATOR + place
    tree = b"".join((count if child is None else child).to_bytes(4, "big") for node in nodes for child in node)
    about = {
        "binary_format_major_version": _number(2, 5),
        "binary_format_minor_version": _number(0, 5),
        "build_epoch": _number(1, 9),
        "database_type": _written("Test-ASN"),
        "description": _written({}),
        "ip_version": _number(6, 5),
        "languages": _ARRAY_OF_NONE,
        "node_count": _number(count, 6),
        "record_size": _number(32, 5),
    }
    metadata = bytes([7 << 5 | len(about)]) + b"".join(_written(key) + value for key, value in about.items())
    return tree + bytes(_SEPARATOR) + bytes(data) + _MARKER + metadata


def _written(value: str | int | dict[str, str | int]) -> bytes:
    """Type and size in a byte, then the value: a string (2), a number (6) or a map (7) of less than 29 bytes."""
    if isinstance(value, dict):
        return bytes([7 << 5 | len(value)]) + b"".join(_written(key) + _written(each) for key, each in value.items())
    if isinstance(value, str):
        text = value.encode()
        head = bytes([2 << 5 | len(text)]) if len(text) < 29 else bytes([2 << 5 | 29, len(text) - 29])
        return head + text
    return _number(value, 6)


def _number(value: int, kind: int) -> bytes:
    """Of 16 (5), 32 (6) or 64 bits (9); types above 7 stand in a byte of their own."""
    written = value.to_bytes({5: 2, 6: 4, 9: 8}[kind], "big")
    return (bytes([kind << 5 | len(written)]) if kind <= 7 else bytes([len(written), kind - 7])) + written
