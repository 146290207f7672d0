"""What senders see: one path, on the host names of our domains, and 404 for everything else (RFC 8461, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from mailposture.domain_names import normalize
from mailposture.records.mta_sts import POLICY_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import Counter

    from policy_host.policies import HostedPolicy

# Senders use no HTTP caches (RFC 8461, section 3.3); one in front of us must not keep an old body beside a new id.
_HEADERS = {"Server": "mailposture", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


class PolicySite:
    """Answers requests from `policies`, which may be replaced at any time; the host name alone decides whose it is."""

    def __init__(self, *, policies: Mapping[str, HostedPolicy], requests: Counter) -> None:
        self.policies = policies
        self._requests = requests

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer one request; never with a redirect, never with another domain's policy."""
        policy = self.policies.get(_host_of(request) or "")
        response = self._respond(request, policy)
        # Clients choose the host names they ask for; only our own become labels.
        self._requests.labels(policy.domain if policy else "other", str(response.status)).inc()
        return response

    def _respond(self, request: web.BaseRequest, policy: HostedPolicy | None) -> web.Response:
        if policy is None:
            return web.Response(status=404, text="no MTA-STS policy is hosted under this name\n", headers=_HEADERS)
        if request.rel_url.raw_path != POLICY_PATH:
            return web.Response(status=404, text=f"there is only {POLICY_PATH}\n", headers=_HEADERS)
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, text="GET or HEAD\n", headers={**_HEADERS, "Allow": "GET, HEAD"})
        return web.Response(body=policy.body, content_type="text/plain", headers=_HEADERS)


def _host_of(request: web.BaseRequest) -> str | None:
    """The host name asked for, without port, in normal form; None if there is none, several, or it is no name."""
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1:
        return None
    host, colon, port = hosts[0].rpartition(":")
    return normalize(host if colon and port.isdigit() else hosts[0])
