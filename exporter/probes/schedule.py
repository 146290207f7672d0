"""Each probe of each domain on a schedule of its own: concurrent, bounded in number and time, and never all at once."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import structlog

from exporter.probes.outcome import ProbeOutcome
from mailposture.checks.reason import Reason
from mailposture.expectation import expectation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exporter.probes.outcome import Probe, ProbeContext
    from mailposture.config.domains import Domain
    from mailposture.config.model import Config

log = structlog.get_logger()

_JITTER = 0.1  # share of the interval
_FIRST_APART = 0.2  # seconds between first probes, on average: a start must not hit all servers and nameservers at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A probe that has been made."""

    policy_domain: str
    probe: str
    probed_at: datetime
    duration: float
    outcome: ProbeOutcome


class Scheduler:
    """Probes forever. One server that hangs takes up one slot until its time is over, and delays no other."""

    def __init__(
        self,
        *,
        probes: Mapping[str, Probe],
        context: ProbeContext,
        interval: float,
        concurrency: int,
        patience: float,
        publish: Callable[[Probed], None],
    ) -> None:
        """The domains are those of the context. `concurrency`: of each probe.

        `patience`: seconds for one probe of one domain, however many servers it has.

        `publish` must not block.
        """
        self._probes = probes
        self._context = context
        self._interval = interval
        self._patience = patience
        self._publish = publish
        # Each probe has its own: where port 25 is closed every mx probe hangs, and DNS is looked at all the same.
        self._running: dict[tuple[str, str], asyncio.Task[NoReturn]] = {}  # by probe and domain
        self._slots = {name: asyncio.Semaphore(concurrency) for name in probes}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.use(self._context.config)
            await asyncio.Event().wait()

    def use(self, config: Config) -> frozenset[tuple[str, str]]:
        """Make the probes of this configuration from now on: new ones soon, those that it has no use for no more.

        Returns which they are: names of probe and domain.
        """
        self._context = replace(self._context, config=config)
        wanted = frozenset(
            (probe, domain.name)
            for domain in config.domains
            for probe in expectation(config, domain).probes
            if probe in self._probes
        )
        for left in self._running.keys() - wanted:
            self._running.pop(left).cancel()
        new = wanted - self._running.keys()
        spread = min(self._interval, _FIRST_APART * len(new))
        for probe, name in new:
            delay = random.uniform(0, spread)  # noqa: S311
            self._running[probe, name] = self._group.create_task(self._repeat(name, self._probes[probe], delay=delay))
        return wanted

    async def _repeat(self, name: str, probe: Probe, *, delay: float) -> NoReturn:
        while True:
            await asyncio.sleep(delay)
            async with self._slots[probe.name]:
                self._publish(await self._once(self._context.config.by_name[name], probe))
            delay = self._interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311

    async def _once(self, domain: Domain, probe: Probe) -> Probed:
        probed_at, started = datetime.now(UTC), time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                outcome = await probe.run(domain, self._context)
        except TimeoutError:
            outcome = ProbeOutcome(success=False, reason=Reason.TOO_SLOW)
            log.warning("probe timed out", probe=probe.name, domain=domain.name, seconds=self._patience)
        except Exception:  # a fault of ours must not end the schedule
            outcome = ProbeOutcome(success=False, reason=Reason.BROKEN)
            log.exception("probe failed", probe=probe.name, domain=domain.name)
        return Probed(
            policy_domain=domain.name,
            probe=probe.name,
            probed_at=probed_at,
            duration=time.monotonic() - started,
            outcome=outcome,
        )
