"""Who is one client, where one client may only have so many connections."""

from __future__ import annotations

import ipaddress


def client_network(peer: str) -> str:
    """Whom a connection counts for: an IPv4 address, or an IPv6 /64, of which one client has all the addresses."""
    if ":" not in peer:
        return peer
    return str(ipaddress.IPv6Network((peer, 64), strict=False))
