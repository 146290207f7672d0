"""Our checker fetches policies as senders must: each single fault is refused and named (RFC 8461, section 3.3)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import faulty_policy_server
import pytest
from faulty_policy_server import GOOD_POLICY, Answer
from pki import self_signed

from mailposture.checks.policy import check_coverage, fetch_policy
from mailposture.checks.result import Outcome
from mailposture.config.domains import PolicyMode
from mailposture.records.mta_sts import LARGEST_POLICY, Policy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from loopback_dns import Zone
    from pki import CertificateAuthority

    from mailposture.checks.vantage import Vantage

NAME = "mta-sts.example.test"


async def test_good_policy_is_read_through_an_alias(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async with faulty_policy_server.serving(Answer(), authority.issue([NAME]).server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.success, fetch.result
    assert fetch.body == GOOD_POLICY
    assert fetch.policy == Policy(mode=PolicyMode.ENFORCE, mx=("mx1.example.test",), max_age=1_209_600)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(headers={"Content-Type": "text/html"}), "policy-content-type"),
        (Answer(headers={"Content-Type": "application/octet-stream"}), "policy-content-type"),
        (Answer(status=301, headers={"Location": "/elsewhere", "Content-Type": "text/plain"}), "policy-redirected"),
        (Answer(status=302, headers={"Location": "/elsewhere", "Content-Type": "text/plain"}), "policy-redirected"),
        (Answer(status=404), "policy-status"),
        (Answer(status=206), "policy-status"),
        (Answer(status=503), "policy-status"),
        (Answer(body=GOOD_POLICY + b"x: " + b"y" * LARGEST_POLICY), "policy-too-large"),
        (Answer(body=GOOD_POLICY.replace(b"version: STSv1\r\n", b"")), "policy-invalid"),
        (Answer(body=GOOD_POLICY.replace(b"enforce", b"enforced")), "policy-invalid"),
        (Answer(body=GOOD_POLICY.replace(b"mx: mx1.example.test\r\n", b"")), "policy-invalid"),
        (Answer(body=GOOD_POLICY.replace(b"1209600", b"99999999")), "policy-invalid"),
        (Answer(body=b""), "policy-invalid"),
    ],
)
async def test_each_wrong_answer_is_refused(
    looking: Callable[..., Vantage], authority: CertificateAuthority, answer: Answer, reason: str
) -> None:
    async with faulty_policy_server.serving(answer, authority.issue([NAME]).server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.policy is None
    assert (fetch.result.outcome, fetch.result.reason) == (Outcome.WRONG, reason)
    assert fetch.result.detail
    assert fetch.result.instruction


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "Text/Plain", "text/plain;charset=us-ascii"])
async def test_media_type_may_have_parameters_and_any_case(
    looking: Callable[..., Vantage], authority: CertificateAuthority, content_type: str
) -> None:
    answer = Answer(headers={"Content-Type": content_type})
    async with faulty_policy_server.serving(answer, authority.issue([NAME]).server_context()) as port:
        assert (await fetch_policy("example.test", vantage=looking(https_port=port))).result.success


@pytest.mark.parametrize(
    ("names", "accepted"),
    [
        ([NAME], True),
        (["*.example.test"], True),
        (["policies.host.test", NAME], True),
        (["policies.host.test"], False),
        (["example.test"], False),
        (["*.test"], False),
        (["mta-sts*.example.test"], False),
        (["127.0.0.1"], False),
    ],
)
async def test_certificate_must_be_for_the_policy_host_also_behind_an_alias(
    looking: Callable[..., Vantage], authority: CertificateAuthority, names: list[str], accepted: bool
) -> None:
    async with faulty_policy_server.serving(Answer(), authority.issue(names).server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.reason == (None if accepted else "certificate-host-mismatch")
    assert (fetch.policy is not None) is accepted


async def test_expired_certificate_is_refused(looking: Callable[..., Vantage], authority: CertificateAuthority) -> None:
    expired = authority.issue([NAME], not_after=datetime.now(UTC) - timedelta(hours=1))
    async with faulty_policy_server.serving(Answer(), expired.server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.reason == "certificate-expired"


async def test_self_signed_certificate_is_refused(looking: Callable[..., Vantage], tmp_path: Path) -> None:
    async with faulty_policy_server.serving(Answer(), self_signed(tmp_path, [NAME]).server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.reason == "certificate-self-signed"


async def test_certificate_of_an_unknown_authority_is_refused(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async with faulty_policy_server.serving(Answer(), authority.issue([NAME]).server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port, certificate_authority=None))
    assert fetch.result.reason == "certificate-untrusted"


async def test_hanging_policy_host_is_a_timeout(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async with faulty_policy_server.serving(Answer(hang=True), authority.issue([NAME]).server_context()) as port:
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port, timeout=0.5))
    assert fetch.result.reason == "policy-timeout"


async def test_policy_host_that_does_not_speak_tls_is_said(looking: Callable[..., Vantage]) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.reason == "policy-tls-error"


async def test_answer_that_is_not_http_is_said_without_its_control_characters(
    looking: Callable[..., Vantage], authority: CertificateAuthority
) -> None:
    async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x1b[31mgarbage\r\n\r\n")
        writer.close()

    context: ssl.SSLContext = authority.issue([NAME]).server_context()
    async with await asyncio.start_server(noise, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.reason == "policy-http-error"
    assert fetch.result.detail.isprintable()


async def test_closed_port_is_said(looking: Callable[..., Vantage]) -> None:
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    fetch = await fetch_policy("example.test", vantage=looking(https_port=port))
    assert fetch.result.reason == "policy-host-unreachable"


async def test_missing_address_and_dead_nameservers_differ(looking: Callable[..., Vantage], zone: Zone) -> None:
    zone.text = "example.test. 300 IN A 127.0.0.1\n"
    assert (await fetch_policy("example.test", vantage=looking())).result.reason == "policy-host-without-address"
    zone.broken.add("mta-sts.example.test")
    assert (await fetch_policy("example.test", vantage=looking())).result.reason == "dns-error"


async def test_alias_that_leads_nowhere_is_named_with_the_line_to_paste(
    looking: Callable[..., Vantage], zone: Zone
) -> None:
    zone.text = "mta-sts.example.test. 300 IN CNAME left.provider.test.\n"
    line = "mta-sts.example.test. 3600 IN CNAME policies.host.test."
    result = (await fetch_policy("example.test", vantage=looking(), wanted=line)).result
    assert result.reason == "policy-host-without-address"
    assert result.detail == "mta-sts.example.test is an alias of 'left.provider.test', which has no address"
    assert result.instruction == line


@pytest.mark.parametrize(
    ("mode", "mx", "reason"),
    [
        (PolicyMode.ENFORCE, ("mx1.example.test",), None),
        (PolicyMode.ENFORCE, ("*.example.test",), None),
        (PolicyMode.ENFORCE, ("*.test",), "mx-not-covered"),
        (PolicyMode.ENFORCE, ("example.test",), "mx-not-covered"),
        (PolicyMode.TESTING, ("mx2.example.test",), "mx-not-covered"),
        (PolicyMode.NONE, (), None),
    ],
)
def test_every_mx_must_be_covered_unless_the_mode_is_none(
    mode: PolicyMode, mx: tuple[str, ...], reason: str | None
) -> None:
    result = check_coverage("example.test", Policy(mode=mode, mx=mx, max_age=86_400), ["mx1.example.test"])
    assert result.reason == reason
    assert ("mx: mx1.example.test" in result.instruction) is bool(reason)
