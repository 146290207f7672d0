"""A server that many domains share is looked at once for all of them, and again after a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import faulty_smtp
import pytest
from eventually import eventually
from faulty_smtp import Fault
from outside import MX, measured

from exporter.probes.mx import probe_mx
from exporter.probes.servers import SharedServers

if TYPE_CHECKING:
    from outside import World

    from mailposture.config.domains import Domain

HERE = "127.0.0.1"


def looks(server: faulty_smtp.SmtpServer) -> int:
    return server.commands.count("QUIT")


async def test_domains_with_one_mx_are_one_connection(world: World) -> None:
    names = [f"d{number}.test" for number in range(10)]
    world.zone.text += "".join(f"{name}. 300 IN MX 10 {MX}.\n" for name in names)

    def named(name: str) -> Domain:
        return world.domain.model_copy(update={"name": name})

    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (server, port):
        context = world.context(smtp_port=port)
        outcomes = await asyncio.gather(*(probe_mx(named(name), context) for name in names))
    assert looks(server) == 1
    assert all(measured(outcome)[f"mx_server_success {MX}"] == 1 for outcome in outcomes)
    assert [outcome.samples[0].labels[0] for outcome in outcomes] == names


async def test_a_look_counts_for_a_while_only(world: World) -> None:
    clock = [0.0]
    async with faulty_smtp.serving(world.authority.issue([MX]).server_context()) as (server, port):
        servers = SharedServers(vantage=world.vantage(smtp_port=port), kept=60, now=lambda: clock[0])
        for clock[0], seen in ((0, 1), (59, 1), (60, 2), (119, 2), (121, 3)):
            assert (await servers.probe(MX, HERE)).success
            assert looks(server) == seen
        assert (await servers.probe("other.example.test", HERE)).reason == "certificate-host-mismatch"


async def test_probe_that_is_given_up_does_not_end_the_look_for_others(world: World) -> None:
    async with faulty_smtp.serving(fault=Fault.SILENT) as (server, port):
        servers = SharedServers(vantage=world.vantage(smtp_port=port, timeout=1), kept=60)
        impatient = asyncio.create_task(servers.probe(MX, HERE))
        patient = asyncio.create_task(servers.probe(MX, HERE))
        await asyncio.to_thread(eventually, "the look", lambda: server.connections)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert (await patient).reason == "timeout"
