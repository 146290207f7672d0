"""When probes are made: each on its own, bounded in number and time, and whatever one of them does."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from outside import configuration

from exporter.probes.outcome import ProbeOutcome, named
from exporter.probes.schedule import Probed, Scheduler
from mailposture.checks.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from outside import World

    from exporter.probes.outcome import Probe, ProbeContext
    from mailposture.config.domains import Domain
    from mailposture.config.model import Config

NAMES = [f"d{number}.test" for number in range(12)]
CONFIG = configuration(domains=[{"name": name} for name in NAMES])


def probes(**functions: Callable[[Domain, ProbeContext], Awaitable[ProbeOutcome]]) -> Mapping[str, Probe]:
    return {name: named(name, name, run, success="", gauges=()) for name, run in functions.items()}


async def fine(_: Domain, __: ProbeContext) -> ProbeOutcome:
    return ProbeOutcome(success=True)


async def hanging(_: Domain, __: ProbeContext) -> ProbeOutcome:
    await asyncio.Event().wait()
    raise AssertionError


class Running:
    """A scheduler at work; waits until something has been published."""

    scheduler: Scheduler

    def __init__(self) -> None:
        self.seen: list[Probed] = []
        self._news = asyncio.Event()

    def publish(self, probed: Probed) -> None:
        self.seen.append(probed)
        self._news.set()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not done():
                await self._news.wait()
                self._news.clear()


@contextlib.asynccontextmanager
async def running(  # type: ignore[no-untyped-def]
    world: World,
    made: Mapping[str, Probe],
    *,
    config: Config = CONFIG,
    interval: float = 3600,
    concurrency: int = 20,
    patience: float = 5,
):
    watched = Running()
    scheduler = Scheduler(
        probes=made,
        context=replace(world.context(), config=config),
        interval=interval,
        concurrency=concurrency,
        patience=patience,
        publish=watched.publish,
    )
    watched.scheduler = scheduler
    task = asyncio.create_task(scheduler.run())
    try:
        yield watched
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
async def test_every_domain_meets_every_probe(world: World) -> None:
    async with running(world, probes(dns=fine, mx=fine)) as watched:
        await watched.until(lambda: len(watched.seen) == 2 * len(NAMES))
    assert {(probed.policy_domain, probed.probe) for probed in watched.seen} == {
        (name, probe) for name in NAMES for probe in ("dns", "mx")
    }


async def test_domain_is_probed_as_the_configuration_of_the_moment_has_it(world: World) -> None:
    """Parked, it has neither servers nor a policy; one that left is probed no more."""
    first, second, *others = ({"name": name} for name in NAMES)
    parked = configuration(domains=[{**first, "parked": True}, *others])
    withdrawing = {**first, "parked": True, "mta_sts": {"mode": "none"}}
    made: Mapping[str, Probe] = {
        name: named(name, name, fine, success="", gauges=()) for name in ("dns", "mta-sts", "mx")
    }
    async with running(world, made, interval=0.01) as watched:
        await watched.until(lambda: {(each.policy_domain, each.probe) for each in watched.seen} >= of(NAMES, made))
        assert watched.scheduler.use(parked) == {("dns", NAMES[0])} | {
            (probe, other["name"]) for other in others for probe in made
        }
        watched.seen.clear()
        await watched.until(
            lambda: all(sum(each.policy_domain == other["name"] for each in watched.seen) >= 9 for other in others)
        )
        assert {(each.policy_domain, each.probe) for each in watched.seen} == of(NAMES[2:], made) | {(NAMES[0], "dns")}
        wanted = watched.scheduler.use(configuration(domains=[withdrawing, second, *others]))
        assert {probe for probe, name in wanted if name == NAMES[0]} == {"dns", "mta-sts"}
        watched.seen.clear()
        await watched.until(
            lambda: (
                {(each.policy_domain, each.probe) for each in watched.seen}
                >= of(NAMES[1:], made) | of(NAMES[:1], ("dns", "mta-sts"))
            )
        )
    assert (NAMES[0], "mx") not in {(each.policy_domain, each.probe) for each in watched.seen}


def of(names: Iterable[str], made: Iterable[str]) -> set[tuple[str, str]]:
    return {(name, probe) for name in names for probe in made}


async def test_probes_come_again_after_the_interval(world: World) -> None:
    async with running(world, probes(dns=fine), interval=0.01) as watched:
        await watched.until(lambda: all(sum(p.policy_domain == name for p in watched.seen) >= 3 for name in NAMES))


async def test_one_that_hangs_delays_no_other(world: World) -> None:
    async def slow_for_the_first(domain: Domain, context: ProbeContext) -> ProbeOutcome:
        return await (hanging if domain.name == NAMES[0] else fine)(domain, context)

    async with running(world, probes(dns=slow_for_the_first), interval=0.01, patience=3600, concurrency=2) as watched:
        await watched.until(lambda: all(sum(p.policy_domain == name for p in watched.seen) >= 5 for name in NAMES[1:]))
    assert NAMES[0] not in {probed.policy_domain for probed in watched.seen}


async def test_servers_that_all_hang_delay_no_look_at_dns(world: World) -> None:
    """As where port 25 is closed for us, with more domains than slots."""
    made = probes(mx=hanging, dns=fine)
    async with running(world, made, interval=0.01, patience=3600, concurrency=2) as watched:
        await watched.until(lambda: all(sum(p.policy_domain == name for p in watched.seen) >= 3 for name in NAMES))
    assert {probed.probe for probed in watched.seen} == {"dns"}


@pytest.mark.slow
async def test_patience_ends_and_is_said(world: World) -> None:
    async with running(world, probes(dns=hanging), patience=0.01) as watched:
        await watched.until(lambda: len(watched.seen) == len(NAMES))
    assert {probed.outcome.reason for probed in watched.seen} == {Reason.TOO_SLOW}


@pytest.mark.slow
async def test_a_probe_that_breaks_is_said_and_made_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    async def broken(_: Domain, __: ProbeContext) -> ProbeOutcome:
        raise ZeroDivisionError

    async with running(world, probes(dns=broken), interval=0.01) as watched:
        await watched.until(lambda: len(watched.seen) > 3 * len(NAMES))
    assert {probed.outcome.reason for probed in watched.seen} == {Reason.BROKEN}
    assert "ZeroDivisionError" in capsys.readouterr().out


async def test_never_more_at_once_than_allowed(world: World) -> None:
    now, most = 0, 0

    async def counting(_: Domain, __: ProbeContext) -> ProbeOutcome:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return ProbeOutcome(success=True)

    async with running(world, probes(dns=counting), interval=0.01, concurrency=3) as watched:
        await watched.until(lambda: len(watched.seen) > 60)
    assert most == 3
