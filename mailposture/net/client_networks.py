"""Who is one client, where one client may only have so many connections."""

from __future__ import annotations

import ipaddress


def client_network(peer: str, *, prefix: int = 64) -> str:
    """Whom a connection counts for: an IPv4 address, or an IPv6 /64, of which one client has all the addresses.

    A shorter `prefix` counts sites together: anybody gets a /48 for nothing, and with it 65,536 of those networks.
    """
    if ":" not in peer:
        return peer
    return str(ipaddress.IPv6Network((peer, prefix), strict=False))
