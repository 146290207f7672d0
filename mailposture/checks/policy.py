"""A domain's MTA-STS policy, fetched as senders fetch it (RFC 8461, section 3.3), and whether it fits the domain."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from mailposture.checks.certificates import refusal
from mailposture.checks.reason import Reason
from mailposture.checks.resolver import Status
from mailposture.checks.result import CheckResult, Subject
from mailposture.config.domains import PolicyMode
from mailposture.quoting import quoted
from mailposture.records.mta_sts import LARGEST_POLICY, POLICY_PATH, policy_host_name, policy_url, read_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.resolver import Resolver
    from mailposture.checks.vantage import Vantage
    from mailposture.records.mta_sts import Policy

_CHUNK = 8192
_MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class PolicyFetch:
    """What came of fetching a policy. `policy` is None unless every sender would accept it."""

    result: CheckResult
    policy: Policy | None = None
    body: bytes | None = None


class _RefusedError(Exception):
    """A sender would refuse the policy here."""

    def __init__(self, reason: Reason, detail: str, instruction: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.instruction = instruction


async def fetch_policy(domain: str, *, vantage: Vantage, wanted: str | None = None) -> PolicyFetch:
    """Fetch `https://mta-sts.<domain>/.well-known/mta-sts.txt`: no redirects, certificate and limits kept.

    Whatever happens is a result, never an exception. `wanted` is the line that leads to our policy host.
    """
    subject = Subject("mta-sts-policy", policy_url(domain))
    host = policy_host_name(domain)
    addresses = await vantage.resolver.addresses(host)
    if addresses.status is Status.FAILED:
        return PolicyFetch(result=subject.unanswered(addresses.detail, malformed=addresses.malformed))
    if addresses.status is Status.ABSENT:
        detail = await _why_without_address(host, vantage.resolver)
        instruction = wanted or f"publish a CNAME or A/AAAA record at {host}"
        return PolicyFetch(result=subject.missing(detail, instruction, reason=Reason.POLICY_HOST_WITHOUT_ADDRESS))
    try:
        body = await _fetch(host, addresses.records, vantage)
    except _RefusedError as error:
        return PolicyFetch(result=subject.wrong(error.reason, str(error), error.instruction))
    reading = read_policy(body)
    policy = reading.policy
    if policy is None:
        faults = "; ".join(f"the policy {fault}" for fault in reading.faults)
        instruction = "senders ignore the whole policy until this is fixed"
        return PolicyFetch(result=subject.wrong(Reason.POLICY_INVALID, faults, instruction), body=body)
    words = f"mode {policy.mode}, max_age {policy.max_age}, mx {_listed(policy.mx) or '(none)'}"
    return PolicyFetch(result=subject.good("; ".join([words, *reading.remarks])), policy=policy, body=body)


async def _why_without_address(host: str, resolver: Resolver) -> str:
    """An alias that leads nowhere is often left over, and whoever gets hold of its target serves the policy."""
    alias = await resolver.lookup(host, "CNAME")
    if alias.status is not Status.FOUND:
        return f"{host} has no address"
    return f"{host} is an alias of {quoted(alias.records[0].target.to_text(omit_final_dot=True))}, which has no address"


async def _fetch(host: str, addresses: Sequence[str], vantage: Vantage) -> bytes:
    port = "" if vantage.https_port == 443 else f":{vantage.https_port}"
    connector = aiohttp.TCPConnector(resolver=_Found(addresses), ssl=vantage.trusting_context())
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(vantage.timeout)) as session,
            session.get(
                f"https://{host}{port}{POLICY_PATH}",
                allow_redirects=False,
                headers={"Accept-Encoding": "identity", "User-Agent": "mailposture"},
            ) as response,
        ):
            _check_head(response)
            return await _body(response)
    except aiohttp.ClientConnectorCertificateError as error:
        cause = error.certificate_error
        reason, words = (
            (refusal(cause), cause.verify_message)
            if isinstance(cause, ssl.SSLCertVerificationError)
            else (Reason.CERTIFICATE_INVALID, str(cause))
        )
        raise _RefusedError(
            reason,
            f"the certificate of {host} is refused: {words}",
            f"install a certificate of a public authority, valid for {host} itself",
        ) from error
    except TimeoutError as error:
        raise _RefusedError(
            Reason.POLICY_TIMEOUT,
            f"no policy within {vantage.timeout:g} s",
            f"see why {host} is slow or does not answer",
        ) from error
    except aiohttp.ClientConnectorSSLError as error:
        raise _RefusedError(
            Reason.POLICY_TLS_ERROR, f"TLS fails: {error}", f"{host} must speak TLS 1.2 or newer"
        ) from error
    except aiohttp.ClientConnectorError as error:
        raise _RefusedError(
            Reason.POLICY_HOST_UNREACHABLE, f"cannot connect: {error.os_error}", f"open port 443 of {host} to the world"
        ) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _RefusedError(
            Reason.POLICY_HTTP_ERROR, f"no proper HTTP answer: {quoted(str(error))}", f"see what {host} runs"
        ) from error


def _check_head(response: aiohttp.ClientResponse) -> None:
    """Status and type as senders require them (RFC 8461, sections 3.2 and 3.3)."""
    if 300 <= response.status < 400:
        location = quoted(response.headers.get("Location", ""))
        raise _RefusedError(
            Reason.POLICY_REDIRECTED,
            f"redirects to {location}",
            "answer with the policy itself: senders follow no redirects",
        )
    if response.status != 200:
        raise _RefusedError(
            Reason.POLICY_STATUS, f"answers with status {response.status}", "serve the policy there with status 200"
        )
    content_type = response.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != "text/plain":
        raise _RefusedError(
            Reason.POLICY_CONTENT_TYPE, f"has the media type {quoted(content_type)}", "serve it as text/plain"
        )


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > LARGEST_POLICY:
            raise _RefusedError(
                Reason.POLICY_TOO_LARGE,
                f"is larger than {LARGEST_POLICY} bytes",
                "serve only the policy under this address",
            )
    return bytes(body)


def check_coverage(domain: str, policy: Policy, mx_hosts: Sequence[str]) -> CheckResult:
    """Whether the policy allows delivery to every MX host of the domain (RFC 8461, section 4.1)."""
    subject = Subject("mta-sts-mx", domain)
    if policy.mode is PolicyMode.NONE:
        return subject.good("mode none allows every MX")
    uncovered = policy.uncovered(mx_hosts)
    if not uncovered:
        return subject.good("the policy covers every MX")
    now = "senders refuse to deliver there" if policy.mode is PolicyMode.ENFORCE else "once enforced, senders refuse it"
    return subject.wrong(
        Reason.MX_NOT_COVERED,
        f"the policy (mode {policy.mode}) does not cover {_listed(uncovered)}: {now}",
        "add to the policy: " + _listed([f"mx: {host}" for host in uncovered]),
    )


def _listed(names: Sequence[str]) -> str:
    """A zone or a policy may name thousands."""
    more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


class _Found(AbstractResolver):
    """Gives the HTTP client the addresses that our own resolver found."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        await asyncio.sleep(0)
