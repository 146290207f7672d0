"""Reports by HTTPS POST (RFC 8460, section 3): the listener, and what it takes from whom."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from collector.metrics import CONNECTIONS, REFUSED
from collector.sources.certificate import Certificate
from collector.sources.https.posts import Posts
from mailposture.net.admission import Admission, Refusal
from mailposture.net.http_listener import HttpListener
from mailposture.net.proxies import Proxies
from reports.envelope import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.sources.memory import BodyMemory
    from collector.spool import Spool
    from mailposture.config.domains import Domain
    from mailposture.config.model import Https

_LINGERING_SECONDS = 2.0  # for the rest of a body that we refused
_HEADER_SECONDS = 10.0  # from the connection, or the answer before, to the end of the headers; a handshake likewise
_CONNECTION_SECONDS = 600.0  # then the next answer is the last, and who does not take it is cut off
_IDLE_CONNECTIONS = 2  # open connections for each request that may run
_CLIENTS = 4  # at least so many clients can come: none takes more than its part of connections and requests
_A_MINUTE = 60_000  # connections of one client
_GRACE = 10.0  # seconds for requests that run when we end
_log = structlog.get_logger()
_quiet = logging.Logger("aiohttp")
_quiet.disabled = True


async def serve_https(config: Https, *, domains: Iterable[Domain], spool: Spool, memory: BodyMemory) -> HttpsServer:
    """Listen as configured. Raises ProblemError for an address that is taken, and for unusable certificates."""
    server = HttpsServer(config, domains=domains, spool=spool, memory=memory)
    await server.start()
    return server


class HttpsServer:
    """The running listener."""

    def __init__(self, config: Https, *, domains: Iterable[Domain], spool: Spool, memory: BodyMemory) -> None:
        self.address: tuple[str, int] | None = None
        self._config = config
        proxies = Proxies(config.proxies)
        most = _IDLE_CONNECTIONS * config.requests
        self.connections = Admission(most=most, most_of_client=_part(most), most_a_minute=_A_MINUTE)
        self.requests = Admission(most=config.requests, most_of_client=_part(config.requests))
        self._posts = Posts(
            config, domains=domains, spool=spool, memory=memory, proxies=proxies, requests=self.requests
        )
        certificate = Certificate(config.tls) if config.tls else None
        self._listener = HttpListener(
            answer=self._answer,
            admission=self.connections,
            proxies=proxies,
            context=(lambda: certificate.context) if certificate else None,
            handshake=_HEADER_SECONDS,
            longest=_CONNECTION_SECONDS + config.timeout.total_seconds(),
            counted=_counted,
            logger=_quiet,
            auto_decompress=False,  # compression is opened later, under limits
            # Also ends who connects and says nothing, or not all of the headers however often a little more.
            keepalive_timeout=min(_HEADER_SECONDS, config.timeout.total_seconds()),
            lingering_time=_LINGERING_SECONDS,
        )

    async def start(self) -> None:
        """Begin to listen, if an address is configured."""
        if self._config.listen is None:
            return
        self.address = await self._listener.open(self._config.listen, key="https.listen")
        protocol = "https" if self._config.tls else "http"
        _log.info("listening for posts", protocol=protocol, address=str(self._config.listen), port=self.address[1])

    def take_for(self, domains: Iterable[Domain]) -> None:
        """From now on accept posts about these domains."""
        self._posts.take_for(domains)

    async def close(self) -> None:
        """Stop listening; requests that run may end."""
        await self._listener.close(grace=_GRACE)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Say with an answer that it is the last of a connection: a report on its way to a closed one would be lost."""
        try:
            answer = await self._posts.answer(request)
        except web.HTTPException as refusal:
            if self._is_old(request):
                refusal.force_close()
            raise
        if self._is_old(request):
            answer.force_close()
        return answer

    def _is_old(self, request: web.BaseRequest) -> bool:
        return self._listener.age(request) > _CONNECTION_SECONDS


def _part(whole: int) -> int:
    return max(1, whole // _CLIENTS)


def _counted(refusal: Refusal | None) -> None:
    if refusal is None:
        CONNECTIONS.labels(Source.HTTPS.value).inc()
    else:
        REFUSED.labels(Source.HTTPS.value, refusal.value).inc()
