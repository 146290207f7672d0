"""What senders get from the policy host (RFC 8461, section 3.3), over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from programs import program
from structlog.testing import capture_logs

from mailposture.records.mta_sts import policy_id, read_policy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hosting import Running

WELL_KNOWN = "/.well-known/mta-sts.txt"


async def ask(port: int, host: str, path: str = WELL_KNOWN, method: str = "GET") -> tuple[int, str, bytes]:
    """Status, content type and body."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            method, f"http://127.0.0.1:{port}{path}", headers={"Host": host}, allow_redirects=False
        ) as response,
    ):
        return response.status, response.headers.get("Content-Type", ""), await response.read()


async def test_each_domain_gets_its_own_policy_as_plain_text_with_crlf(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    assert await ask(running.port, "mta-sts.enforced.example") == (
        200,
        "text/plain",
        b"version: STSv1\r\nmode: enforce\r\nmx: mx1.enforced.example\r\nmx: *.backup.example\r\nmax_age: 1209600\r\n",
    )
    assert await ask(running.port, "mta-sts.tested.example") == (
        200,
        "text/plain",
        b"version: STSv1\r\nmode: testing\r\nmx: mx.tested.example\r\nmax_age: 86400\r\n",
    )


@pytest.mark.parametrize(
    "host", ["MTA-STS.Enforced.Example", "mta-sts.enforced.example:443", "mta-sts.enforced.example."]
)
async def test_host_is_recognized_however_it_is_written(start: Callable[..., Awaitable[Running]], host: str) -> None:
    running = await start()
    assert (await ask(running.port, host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "mta-sts.plain.example",
        "mta-sts.unknown.example",
        "enforced.example",
        "mta-sts.sub.enforced.example",
        "mta-sts.enforced.example.evil.example",
        "127.0.0.1",
        "[::1]:443",
        "..",
        "%00",
    ],
)
async def test_unknown_host_gets_404(start: Callable[..., Awaitable[Running]], host: str) -> None:
    running = await start()
    status, _, body = await ask(running.port, host)
    assert status == 404
    assert read_policy(body).policy is None


@pytest.mark.parametrize("path", ["/", "/.well-known/mta-sts.txt/", "/.well-known/MTA-STS.txt", "/.well-known/"])
async def test_other_paths_get_404_without_redirect(start: Callable[..., Awaitable[Running]], path: str) -> None:
    running = await start()
    assert (await ask(running.port, "mta-sts.enforced.example", path))[0] == 404


async def test_head_says_the_length_without_a_body(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(f"HEAD {WELL_KNOWN} HTTP/1.1\r\nHost: mta-sts.tested.example\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: 70" in head
    assert body == b""


async def test_request_without_or_with_two_hosts_gets_no_policy(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    for hosts in ("", "Host: mta-sts.tested.example\r\nHost: mta-sts.enforced.example\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f"GET {WELL_KNOWN} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert answer[9:12] in {b"400", b"404"}
        assert b"STSv1" not in answer


async def test_policies_cannot_be_posted(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    assert (await ask(running.port, "mta-sts.enforced.example", method="POST"))[0] == 405


async def test_caddy_may_order_certificates_only_for_domains_that_we_serve(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    for name, status in (
        ("mta-sts.enforced.example", 200),
        ("mta-sts.plain.example", 404),
        ("enforced.example", 404),
        ("evil.example", 404),
        ("", 404),
    ):
        assert (await ask(running.metrics_port, "localhost", f"/ask?domain={name}"))[0] == status
    assert (await ask(running.port, "localhost", "/ask?domain=mta-sts.enforced.example"))[0] == 404


async def test_metrics_count_by_domain_and_status_and_foreign_names_make_no_labels(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    for number in range(50):
        await ask(running.port, f"mta-sts.unknown{number}.example")
    _, _, body = await ask(running.port, "mta-sts.tested.example")
    await ask(running.port, "mta-sts.tested.example", "/robots.txt")
    _, _, text = await ask(running.metrics_port, "localhost", "/metrics")
    metrics = text.decode()
    assert 'mailposture_policy_host_requests_total{policy_domain="other",status="404"} 50.0' in metrics
    assert 'mailposture_policy_host_requests_total{policy_domain="tested.example",status="200"} 1.0' in metrics
    assert 'mailposture_policy_host_requests_total{policy_domain="tested.example",status="404"} 1.0' in metrics
    assert "unknown" not in metrics
    info = f'mta_sts_hosted_policy_info{{id="{policy_id(body)}",mode="testing",policy_domain="tested.example"}} 1.0'
    assert info in metrics
    assert 'mta_sts_hosted_policy_max_age_seconds{policy_domain="enforced.example"} 1.2096e+06' in metrics


async def test_promtool_finds_nothing_wrong_with_the_metrics(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    await ask(running.port, "mta-sts.tested.example")
    _, _, metrics = await ask(running.metrics_port, "localhost", "/metrics")
    child = await asyncio.create_subprocess_exec(
        program("promtool"), "check", "metrics", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, complaints = await child.communicate(metrics)
    assert (child.returncode, complaints) == (0, b"")


async def test_health_is_for_us_and_not_for_the_world(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    healthy = (200, "text/plain; charset=utf-8", b"serving 2 policies\n")
    assert await ask(running.metrics_port, "localhost", "/healthz") == healthy
    assert (await ask(running.port, "localhost", "/healthz"))[0] == 404
    assert (await ask(running.port, "mta-sts.enforced.example", "/healthz"))[0] == 404


async def test_changed_configuration_is_served_after_reload(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    running.rewrite(domains=[{"name": "new.example", "mx": ["mx.new.example"], "mta_sts": {"mode": "testing"}}])
    with capture_logs() as logs:
        running.host.reload()
    assert (await ask(running.port, "mta-sts.new.example"))[0] == 200
    assert (await ask(running.port, "mta-sts.enforced.example"))[0] == 404
    dropped = [entry for entry in logs if entry["event"] == "policy dropped, but senders keep their cached copy"]
    assert [entry["policy_domain"] for entry in dropped] == ["enforced.example", "tested.example"]


async def test_broken_configuration_keeps_the_old_one_and_says_so(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    running.config_path.write_text("domains: [{name: new.example, colour: blue}]\n")
    with capture_logs() as logs:
        running.host.reload()
    assert (await ask(running.port, "mta-sts.enforced.example"))[0] == 200
    assert "colour: there is no such key" in logs[0]["reason"]
    _, _, metrics = await ask(running.metrics_port, "localhost", "/metrics")
    assert b'mailposture_config_last_reload_successful{service="policy-host"} 0.0' in metrics


async def test_policy_that_would_be_invalid_is_not_hosted_and_that_is_said(
    start: Callable[..., Awaitable[Running]],
) -> None:
    running = await start()
    running.rewrite(domains=[{"name": "plain.example", "mta_sts": {"mode": "enforce"}}])
    with capture_logs() as logs:
        running.host.reload()
    assert (await ask(running.port, "mta-sts.plain.example"))[0] == 404
    assert any(entry["event"] == "policy not hosted" and "mailposture policy" in entry["next_step"] for entry in logs)
