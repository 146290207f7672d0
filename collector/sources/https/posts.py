"""What comes to the listener, answered: posts to the secret path of a domain go into the spool.

The widest sender, tlsrpt-reporter, posts with curl and takes any answer for delivered: a report answered with an error
is gone. So whatever comes to a secret path is stored as it is, whatever its type, and understood later.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog
from aiohttp import hdrs, web

from collector.metrics import RECEIVED, REFUSED
from collector.spool import SpoolError, SpoolFullError
from mailposture.net.admission import Refusal
from mailposture.net.client_networks import client_network
from mailposture.records.tls_rpt import REPORT_PATH
from reports.envelope import Envelope, Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from collector.sources.memory import BodyMemory, Share
    from collector.spool import Spool
    from mailposture.config.domains import Domain
    from mailposture.config.model import Https
    from mailposture.net.admission import Admission
    from mailposture.net.proxies import Proxies

_RETRY_SECONDS = 300
_EXPLANATION = (
    "This is where mail servers post TLS reports (RFC 8460). To have reports about your domain sent here, publish\n"
    f'  _smtp._tls.<your domain>. TXT "v=TLSRPTv1; rua=https://<this host>{REPORT_PATH}<secret token of the domain>"\n'
)
_log = structlog.get_logger()


class Posts:
    """Answers requests; `requests` bounds how many run at once."""

    def __init__(
        self,
        config: Https,
        *,
        domains: Iterable[Domain],
        spool: Spool,
        memory: BodyMemory,
        proxies: Proxies,
        requests: Admission,
    ) -> None:
        self._config = config
        self.take_for(domains)
        self._spool = spool
        self._memory = memory
        self._proxies = proxies
        self._requests = requests

    def take_for(self, domains: Iterable[Domain]) -> None:
        """From now on accept posts about these domains."""
        # By digest: how long a look-up takes then reveals nothing about the tokens.
        self._domain_of_token = {_digest(domain.token): domain.name for domain in domains if domain.token}

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request, or raise the answer; a fault of ours is logged without the path, and asks to come back."""
        try:
            return await self._route(request)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception as error:
            # As text: a log renderer that shows local variables would show the request, with its path.
            _log.error("request failed", peer=request.remote, trace=traceback.format_exc())
            raise _come_back("internal") from error

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.rel_url.raw_path  # a token has nothing to decode
        token = path.removeprefix(REPORT_PATH).removesuffix("/") if path.startswith(REPORT_PATH) else ""
        if request.method in {hdrs.METH_GET, hdrs.METH_HEAD} and (path == "/" or path.startswith(REPORT_PATH)):
            return web.Response(text=_EXPLANATION)  # the same for every token, so that guessing learns nothing
        if request.method != hdrs.METH_POST or not token or "/" in token:
            raise web.HTTPNotFound
        return await self._receive(request, token)

    async def _receive(self, request: web.BaseRequest, token: str) -> web.Response:
        domain = self._domain_of(request, token)
        client = self._proxies.client_of(request.remote or "", request.headers.getall("X-Forwarded-For", ()))
        place = self._requests.enter(client)
        if isinstance(place, Refusal):
            raise _come_back("too-many-requests" if place is Refusal.FULL else "too-many-requests-of-client")
        name = f"{domain}/{secrets.token_hex(6)}"
        try:
            await _continue(request)
            with self._share(request, client) as share:
                body = await self._body(request, share)
                envelope = Envelope(
                    source=Source.HTTPS, received_at=datetime.now(UTC), name=name, peer=client, token_domain=domain
                )
                try:
                    await share.until(self._spool.put_async(envelope, body))
                except SpoolError as error:
                    raise _not_stored(error) from error
        finally:
            place.leave()
        RECEIVED.labels(Source.HTTPS.value).inc()
        _log.debug("post received", name=name, bytes=len(body))
        return web.Response(status=201, text=f"Stored as {name}\n")

    def _domain_of(self, request: web.BaseRequest, token: str) -> str:
        """The domain whose token was used, when there is room for what is announced; raises the answer otherwise."""
        domain = self._domain_of_token.get(_digest(token))
        if domain is None:
            REFUSED.labels(Source.HTTPS.value, "unknown-token").inc()
            raise web.HTTPNotFound
        if (request.content_length or 0) > self._config.body_size:
            raise self._too_large(request.content_length or 0)
        try:
            self._spool.check_room()
        except SpoolError as error:
            raise _not_stored(error) from error
        return domain

    def _share(self, request: web.BaseRequest, client: str) -> Share:
        """Of the room in memory; a body that comes too slowly while others wait is ended."""
        loop, transport = asyncio.get_running_loop(), request.transport

        def end() -> None:
            REFUSED.labels(Source.HTTPS.value, "memory").inc()
            if transport is not None:
                loop.call_soon_threadsafe(transport.abort)

        return self._memory.share(client_network(client), end=end)

    async def _body(self, request: web.BaseRequest, share: Share) -> bytearray:
        try:
            async with asyncio.timeout(self._config.timeout.total_seconds()):
                return await self._read(request, share)
        except TimeoutError as error:
            REFUSED.labels(Source.HTTPS.value, "timeout").inc()
            raise _last(web.HTTPRequestTimeout()) from error

    async def _read(self, request: web.BaseRequest, share: Share) -> bytearray:
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


async def _continue(request: web.BaseRequest) -> None:
    """Answer a client that asks before it sends a large body (`Expect: 100-continue`)."""
    expectation = request.headers.get(hdrs.EXPECT)
    if expectation is None:
        return
    if expectation.lower() != "100-continue":
        raise _last(web.HTTPExpectationFailed())
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer proper is still to come


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
