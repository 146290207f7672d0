"""Clients that are slow, silent, many or mad take nothing away from senders."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from eventually import eventually_async

from policy_host import listeners, site

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest
    from hosting import Running
    from pki import CertificateAuthority

REQUEST = b"GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.tested.example\r\nConnection: close\r\n\r\n"


async def policy_from(port: int) -> bytes:
    """What a sender gets."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    answer = await reader.read()
    writer.close()
    return answer


async def test_silent_and_dripping_clients_are_cut_off(
    start: Callable[..., Awaitable[Running]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "LONGEST_CONNECTION", 0.4)
    running = await start()
    silent, _ = await asyncio.open_connection("127.0.0.1", running.port)
    dripping, writer = await asyncio.open_connection("127.0.0.1", running.port)

    async def drip() -> None:
        while True:
            writer.write(b"X")
            await asyncio.sleep(0.02)

    drops = asyncio.create_task(drip())
    async with asyncio.timeout(60):
        assert await silent.read() == b""
        await asyncio.gather(dripping.read(), return_exceptions=True)
    drops.cancel()
    assert b"STSv1" in await policy_from(running.port)


async def test_connections_are_bounded_and_those_over_the_bound_hung_up_on(
    start: Callable[..., Awaitable[Running]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST_CONNECTIONS", 3)
    running = await start()
    open_ones = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
    for _, writer in open_ones:  # all three have been accepted once they have their answers
        writer.write(REQUEST.replace(b"Connection: close\r\n", b""))
    for reader, _ in open_ones:
        await reader.readuntil(b"max_age: 86400\r\n")
    assert await policy_from(running.port) == b""
    open_ones[0][1].close()
    answer = await eventually_async("the place of the one that left", lambda: policy_from(running.port))
    assert b"STSv1" in answer
    for _, writer in open_ones:
        writer.close()


async def test_noise_gets_no_policy_and_harms_nobody(start: Callable[..., Awaitable[Running]]) -> None:
    running = await start()
    chance = random.Random(8461)
    for _ in range(50):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(chance.randbytes(chance.randrange(1, 400)) + b"\r\n\r\n")
        writer.write_eof()
        assert b"STSv1" not in await reader.read()
        writer.close()
    assert b"STSv1" in await policy_from(running.port)


async def test_clients_cannot_fill_the_log_and_our_faults_are_in_it(
    start: Callable[..., Awaitable[Running]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start()
    for request in (b"\x16\x03\x01\r\n\r\n", REQUEST.replace(b"Host", b"X: " + b"a" * 20_000 + b"\r\nHost")):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(request)
        assert b" 400 " in await reader.readline()
        writer.close()
    ours = ("policy_host", "aiohttp")  # not asyncio, which also speaks of what earlier tests have left behind
    assert not [record for record in caplog.records if record.name.startswith(ours)]
    monkeypatch.setattr(site, "_host_of", None)
    assert b" 500 " in await policy_from(running.port)
    assert "TypeError" in caplog.text


async def test_plain_http_on_the_tls_listener_does_not_disturb_it(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority
) -> None:
    running = await start(authority.issue(["mta-sts.tested.example"]))
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(REQUEST)
    await asyncio.gather(reader.read(), return_exceptions=True)
    writer.close()
    assert b"STSv1" in await policy_by_tls(running.port, authority)


async def test_clients_that_never_end_the_handshake_are_bounded_and_cut_off(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST_CONNECTIONS", 3)
    monkeypatch.setattr(listeners, "LONGEST_CONNECTION", 1.0)
    running = await start(authority.issue(["mta-sts.tested.example"]))
    silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
    one_too_many, _ = await asyncio.open_connection("127.0.0.1", running.port)
    async with asyncio.timeout(60):
        await asyncio.gather(one_too_many.read(), return_exceptions=True)
        assert not any(reader.at_eof() for reader, _ in silent)
        await asyncio.gather(*(reader.read() for reader, _ in silent), return_exceptions=True)
        assert b"STSv1" in await policy_by_tls(running.port, authority)


async def test_one_client_cannot_take_every_place(
    start: Callable[..., Awaitable[Running]], authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "MOST_OF_CLIENT", 3)
    running = await start(authority.issue(["mta-sts.tested.example"]))
    taken = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3)]
    one_too_many, _ = await asyncio.open_connection("127.0.0.1", running.port)
    async with asyncio.timeout(60):
        await asyncio.gather(one_too_many.read(), return_exceptions=True)
        assert not any(reader.at_eof() for reader, _ in taken)
        assert b"STSv1" in await policy_by_tls(running.port, authority, local_addr=("127.0.0.2", 0))
    for _, writer in taken:
        writer.close()


async def policy_by_tls(port: int, authority: CertificateAuthority, **options: Any) -> bytes:
    """What a sender gets by TLS."""
    context = authority.client_context()
    name = "mta-sts.tested.example"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name, **options)
    writer.write(REQUEST)
    answer = await reader.read()
    writer.close()
    return answer
