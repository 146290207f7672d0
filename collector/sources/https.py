"""Reports by HTTPS POST (RFC 8460, section 3), to a secret path for each domain.

The widest sender, tlsrpt-reporter, posts with curl and takes any answer for delivered: a report answered with an error
is gone. So whatever comes to a secret path is stored as it is, whatever its type, and understood later.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import secrets
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from collector.metrics import CONNECTIONS, RECEIVED, REFUSED
from collector.sources.certificate import Certificate
from collector.spool import SpoolError, SpoolFullError
from mailposture.net.client_networks import client_network
from mailposture.net.listening import Gate, one_at_a_time
from mailposture.records.tls_rpt import REPORT_PATH
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine, Iterable, Iterator

    from aiohttp.typedefs import Handler

    from collector.sources.memory import BodyMemory, Share
    from collector.spool import Spool
    from mailposture.config.model import Domain, Https

_RETRY_SECONDS = 300
_LINGERING_SECONDS = 2.0  # for the rest of a body that we refused
_HEADER_SECONDS = 10.0  # from the connection, or the answer before, to the end of the headers; a handshake likewise
_CONNECTION_SECONDS = 600.0  # then the next answer is the last, and who does not take it is cut off
_IDLE_CONNECTIONS = 2  # open connections for each request that may run
_CLIENTS = 4  # at least so many clients can connect: none takes more than its part of the connections
_EXPLANATION = (
    "This is where mail servers post TLS reports (RFC 8460). To have reports about your domain sent here, publish\n"
    f'  _smtp._tls.<your domain>. TXT "v=TLSRPTv1; rua=https://<this host>{REPORT_PATH}<secret token of the domain>"\n'
)
_log = structlog.get_logger()
_quiet = logging.Logger("aiohttp")
_quiet.disabled = True


async def serve_https(config: Https, *, domains: Iterable[Domain], spool: Spool, memory: BodyMemory) -> HttpsServer:
    """Listen as configured. Raises ProblemError for an address that is taken, and for unusable certificates."""
    server = HttpsServer(config, domains=domains, spool=spool, memory=memory)
    await server.start()
    return server


@dataclass(frozen=True, slots=True)
class _Visit:
    client: str
    since: float  # by the loop's clock


class HttpsServer:
    """The running listener."""

    def __init__(self, config: Https, *, domains: Iterable[Domain], spool: Spool, memory: BodyMemory) -> None:
        self.address: tuple[str, int] | None = None
        self._config = config
        self._spool = spool
        # By digest: how long a look-up takes then tells nothing about the tokens.
        self._domain_of_token = {_digest(domain.token): domain.name for domain in domains if domain.token}
        self._certificate = Certificate(config.tls) if config.tls else None
        self._memory = memory
        self._running = 0
        application = web.Application(middlewares=[self._end_in_time, _answer_trouble])
        application.router.add_get("/", _explain)
        application.router.add_get(REPORT_PATH + "{token:.*}", _explain)
        application.router.add_post(REPORT_PATH + "{token:[^/]+}{slash:/?}", self._receive, expect_handler=self._expect)
        self._gate = Gate(admit=self._admit)
        self._visits: dict[web.RequestHandler, _Visit] = {}  # every connection
        self._arriving: set[web.RequestHandler] = set()  # those in the handshake
        self._runner = web.AppRunner(
            application,
            access_log=None,
            logger=_quiet,
            auto_decompress=False,  # strangers' compression is opened by decode, under limits
            # Also ends who connects and says nothing, or not all of the headers however often a little more.
            keepalive_timeout=min(_HEADER_SECONDS, config.timeout.total_seconds()),
            lingering_time=_LINGERING_SECONDS,
            shutdown_timeout=10.0,
        )

    async def start(self) -> None:
        """Begin to listen, if an address is configured."""
        if self._config.listen is None:
            return
        await self._runner.setup()
        self.address = await self._gate.open(self._config.listen, key="https.listen")
        protocol = "https" if self._certificate else "http"
        _log.info("listening for posts", protocol=protocol, address=str(self._config.listen), port=self.address[1])

    async def close(self) -> None:
        """Stop listening; requests that run may end."""
        await self._gate.close()
        await self._runner.cleanup()

    def _admit(self, connection: socket.socket, client: str) -> Coroutine[None, None, None] | None:
        refusal = self._refusal(client)
        if refusal is not None:
            REFUSED.labels(Source.HTTPS.value, refusal).inc()
            return None
        CONNECTIONS.labels(Source.HTTPS.value).inc()
        handler = one_at_a_time(self._server())
        self._visits[handler] = _Visit(client, asyncio.get_running_loop().time())
        self._arriving.add(handler)
        return self._let_in(connection, handler)

    def _refusal(self, client: str) -> str | None:
        self._forget_who_left()
        most = _IDLE_CONNECTIONS * self._config.requests
        if len(self._visits) >= most:
            return "too-many-connections"
        if self._certificate is None:
            return None  # all come from the proxy, which knows its clients
        own = sum(visit.client == client for visit in self._visits.values())
        return "too-many-connections-of-client" if own >= max(1, most // _CLIENTS) else None

    def _forget_who_left(self) -> None:
        """And end who would never leave: neither reads our answers, nor stops to ask."""
        connected = set(self._server.connections)
        longest = _CONNECTION_SECONDS + self._config.timeout.total_seconds()
        for handler in self._visits.keys() - self._arriving:
            if handler not in connected:
                del self._visits[handler]
            elif self._age(handler) > longest and handler.transport is not None:
                handler.transport.abort()
                del self._visits[handler]

    def _age(self, handler: web.RequestHandler) -> float:
        """In seconds; a proxy may keep its connections as long as it likes."""
        visit = self._visits.get(handler) if self._certificate else None
        return asyncio.get_running_loop().time() - visit.since if visit else 0.0

    @web.middleware
    async def _end_in_time(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Say with an answer that it is the last of a connection: a report on its way to a closed one would be lost."""
        old = self._age(request.protocol) > _CONNECTION_SECONDS
        try:
            answer = await handler(request)
        except web.HTTPException as refusal:
            if old:
                refusal.force_close()
            raise
        if old:
            answer.force_close()
        return answer

    @property
    def _server(self) -> web.Server:
        assert self._runner.server is not None  # noqa: S101  start() made it before it opened the gate
        return self._runner.server

    async def _let_in(self, connection: socket.socket, handler: web.RequestHandler) -> None:
        """Shake hands; from then on the handler looks after the connection."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler,
                connection,
                ssl=self._certificate.context if self._certificate else None,
                ssl_handshake_timeout=_HEADER_SECONDS if self._certificate else None,
            )
        except OSError:  # not TLS, none that we speak, hung up, or too slow
            connection.close()
        finally:
            self._arriving.discard(handler)

    async def _expect(self, request: web.Request) -> None:
        """Answer a client that asks before it sends a large body (`Expect: 100-continue`)."""
        if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
            raise web.HTTPExpectationFailed
        self._domain_asked_for(request)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer proper is still to come

    async def _receive(self, request: web.Request) -> web.Response:
        domain = self._domain_asked_for(request)
        name = f"{domain}/{secrets.token_hex(6)}"
        with self._place(), self._share(request) as share:
            body = await self._body(request, share)
            envelope = Envelope(
                source=Source.HTTPS,
                received_at=datetime.now(UTC),
                name=name,
                peer=self._peer(request),
                token_domain=domain,
            )
            try:
                await share.until(self._spool.put_async(envelope, body))
            except SpoolError as error:
                raise _not_stored(error) from error
        RECEIVED.labels(Source.HTTPS.value).inc()
        _log.debug("post received", name=name, bytes=len(body))
        return web.Response(status=201, text=f"Stored as {name}\n")

    def _domain_asked_for(self, request: web.Request) -> str:
        """The domain whose token was used, when there is room for a request; raises the answer otherwise."""
        domain = self._domain_of_token.get(_digest(request.match_info["token"]))
        if domain is None:
            REFUSED.labels(Source.HTTPS.value, "unknown-token").inc()
            raise web.HTTPNotFound
        if (request.content_length or 0) > self._config.body_size:
            raise self._too_large(request.content_length or 0)
        if self._running >= self._config.requests:
            raise _come_back("too-many-requests")
        try:
            self._spool.check_room()
        except SpoolError as error:
            raise _not_stored(error) from error
        return domain

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Among the requests that run."""
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def _share(self, request: web.Request) -> Share:
        """Of the room in memory; a body that comes too slowly while others wait is ended."""
        loop, transport = asyncio.get_running_loop(), request.transport

        def end() -> None:
            REFUSED.labels(Source.HTTPS.value, "memory").inc()
            if transport is not None:
                loop.call_soon_threadsafe(transport.abort)

        return self._memory.share(client_network(self._peer(request)), end=end)

    async def _body(self, request: web.Request, share: Share) -> bytearray:
        try:
            async with asyncio.timeout(self._config.timeout.total_seconds()):
                return await self._read(request, share)
        except TimeoutError as error:
            REFUSED.labels(Source.HTTPS.value, "timeout").inc()
            raise _last(web.HTTPRequestTimeout()) from error

    async def _read(self, request: web.Request, share: Share) -> bytearray:
        announced = request.content_length or 0
        if not await share.announce(announced):
            raise _come_back("memory")
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > self._config.body_size:
                raise self._too_large(len(body))
            if not await share.grow(len(body), expected=self._config.body_size):
                raise _come_back("memory")
        share.settle(len(body))
        return body

    def _too_large(self, size: int) -> web.HTTPException:
        REFUSED.labels(Source.HTTPS.value, "too-large").inc()
        return _last(web.HTTPRequestEntityTooLarge(max_size=self._config.body_size, actual_size=size))

    def _peer(self, request: web.Request) -> str:
        """The client's address; behind a proxy what the proxy says last, which is only for people to read."""
        if self._certificate is None:
            claimed = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
            with contextlib.suppress(ValueError):
                return str(ipaddress.ip_address(claimed))
        return request.remote or ""


@web.middleware
async def _answer_trouble(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A fault of ours is logged without the path, and the client asked to come back."""
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:
        # As text: a log renderer that shows local variables would show the request, with its path.
        _log.error("request failed", peer=request.remote, trace=traceback.format_exc())
        raise _come_back("internal") from error


async def _explain(_request: web.Request) -> web.Response:
    """The same for every token, so that guessing learns nothing."""
    return web.Response(text=_EXPLANATION)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _not_stored(error: SpoolError) -> web.HTTPException:
    if isinstance(error, SpoolFullError):
        return _come_back("spool-full")
    _log.error("post not stored", reason=str(error))
    return _come_back("spool-trouble")


def _come_back(reason: str) -> web.HTTPException:
    REFUSED.labels(Source.HTTPS.value, reason).inc()
    return _last(web.HTTPServiceUnavailable(headers={hdrs.RETRY_AFTER: str(_RETRY_SECONDS)}))


def _last(answer: web.HTTPException) -> web.HTTPException:
    """The body was not read to its end, so nothing can follow on this connection."""
    answer.force_close()
    return answer
