"""Proxies in front of our listeners: which are ours, and for which client they come.

What a proxy says about its client is trusted only if its own address is in a network that the configuration names.
Anybody can write such a header; from anybody else it is ignored.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

Network = IPv4Network | IPv6Network


def plain_address(text: str) -> str | None:
    """An IP address in its usual form: IPv4 where it is mapped into IPv6, and no zone; None if it is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class Proxies:
    """The networks that proxies of ours are in."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def __contains__(self, address: str) -> bool:
        plain = plain_address(address) if self._networks else None
        return plain is not None and any(ip_address(plain) in network for network in self._networks)

    def client_of(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The client of a request, by the X-Forwarded-For fields that it came with: the last that no proxy of ours is.

        Each proxy adds, at the end, whom the request came from. What stands before the entry of the first proxy that is
        not ours was written by whoever it came from, so it may say anything.
        """
        client = plain_address(peer) or peer
        for entry in reversed(",".join(forwarded_for).split(",")):
            if client not in self:
                break
            named = plain_address(entry.strip())
            if named is None:
                break
            client = named
        return client
