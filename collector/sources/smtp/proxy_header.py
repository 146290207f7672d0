"""Reads the header by which a proxy says whose connection it is (PROXY protocol, versions 1 and 2).

Behind a proxy (HAProxy, a cloud's load balancer) every connection has the proxy's address. The PROXY protocol says in a
header, before anything else, for whom it comes; in text (version 1) or in bytes (version 2). Anybody can send such a
header, so it is read only from networks that the configuration names; and from those nothing else is taken, since
whoever could leave the header out would come in the proxy's name.

aiosmtpd reads both versions. It bounds what it reads, and checks the form. It does not check who sends it nor how long
that takes; it gives the addresses of a LOCAL command, which are to be ignored, and those of UNIX sockets and datagrams.
"""

from __future__ import annotations

import asyncio
import logging
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from aiosmtpd.proxy_protocol import AF, PROTO, V2_CMD, get_proxy

from mailposture.net.proxies import plain_address

if TYPE_CHECKING:
    from aiosmtpd.proxy_protocol import ProxyData

_HEADER_SECONDS = 5.0  # the specification wants three at least, so that a lost packet can come again
logging.getLogger("mail.debug").setLevel(logging.ERROR)  # aiosmtpd reports every step there


class NoClientError(Exception):
    """A proxy did not say for whom it comes, though it is configured to."""


async def announced_client(reader: asyncio.StreamReader) -> str | None:
    """Read the header of a proxy's connection; the client's IP address, or None if the proxy comes for itself.

    NoClientError if what comes is no such header, or does not come in time.
    """
    try:
        async with asyncio.timeout(_HEADER_SECONDS):
            header = await get_proxy(reader)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None  # it only looked whether somebody listens
        raise NoClientError("hung up within its header") from error
    except TimeoutError as error:
        raise NoClientError("sent no header in time") from error
    if not header.valid:
        raise NoClientError(header.error)
    return _client_of(header)


def _client_of(header: ProxyData) -> str | None:
    if header.command == V2_CMD.LOCAL or header.family == AF.UNSPEC:  # a health check; UNKNOWN in version 1
        return None
    if header.protocol != PROTO.STREAM or not isinstance(header.src_addr, IPv4Address | IPv6Address):
        raise NoClientError("names no TCP connection")
    return plain_address(str(header.src_addr))
