"""The policy host's two listeners: one for senders, one for scrapers and the proxy of ours.

A sender needs one request of a few hundred bytes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import HttpProcessingError

from mailposture.net.admission import Admission
from mailposture.net.http_listener import HttpListener
from mailposture.net.proxies import Proxies

if TYPE_CHECKING:
    from mailposture.net.http_listener import Answer
    from policy_host.certificates import Certificates

# Senders wait a minute at most (RFC 8461, section 3.3): who is still connected after that is cut off. Caddy in front
# opens a new connection then.
LONGEST_CONNECTION = 60.0
HANDSHAKE_TIMEOUT = 10.0
MOST_CONNECTIONS = 1000  # at the same time, each some 50 KB with TLS; who comes after them is hung up on
MOST_OF_CLIENT = 100  # of those; a large sender asks for the policies of many domains at once
MOST_A_MINUTE = 6000  # connections of one client


class _OurFaultsOnly(logging.Filter):
    """Requests that are not HTTP are answered with 400 and no traceback, or any client could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger("policy_host.http")
_log.addFilter(_OurFaultsOnly())


def public_listener(answer: Answer, certificates: Certificates | None) -> HttpListener:
    """What senders connect to; without certificates all connections come from a proxy of ours, which knows them."""
    return HttpListener(
        answer=answer,
        admission=Admission(most=MOST_CONNECTIONS, most_of_client=MOST_OF_CLIENT, most_a_minute=MOST_A_MINUTE),
        proxies=Proxies(()) if certificates else None,
        context=(lambda: certificates.server_context) if certificates else None,
        handshake=HANDSHAKE_TIMEOUT,
        longest=LONGEST_CONNECTION,
        logger=_log,
    )


def internal_listener(answer: Answer) -> HttpListener:
    """What Prometheus, health checks and Caddy connect to."""
    return HttpListener(
        answer=answer,
        admission=Admission(most=MOST_CONNECTIONS),
        proxies=None,
        context=None,
        handshake=HANDSHAKE_TIMEOUT,
        longest=LONGEST_CONNECTION,
        logger=_log,
    )
