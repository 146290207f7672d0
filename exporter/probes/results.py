"""The last outcome of every probe, as a page of metrics that is ready before it is asked for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from exporter.exposition import Gauge, Sample, render

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from exporter.probes.outcome import Probe
    from exporter.probes.schedule import Probed
    from mailposture.checks.port25 import Port25

PORT_25_BLOCKED = Gauge(
    name="mx_outbound_port_25_blocked",
    help="1 if no server of any domain can be reached by port 25, as in most clouds: then nothing is known about the "
    "servers, and no alert about them fires; else 0",
    labels=(),
)


class Results:
    """What the probes saw last; for one thread."""

    def __init__(self, *, probes: Mapping[str, Probe], port_25: Port25) -> None:
        self._probes = probes
        self._port_25 = port_25
        self._last: dict[tuple[str, str], Probed] = {}

    def note(self, probed: Probed) -> None:
        """Replace the outcome before, with all of its series."""
        self._last[probed.probe, probed.policy_domain] = probed

    def keep(self, wanted: Collection[tuple[str, str]]) -> None:
        """Forget what all others saw; they are named by probe and domain."""
        self._last = {key: probed for key, probed in self._last.items() if key in wanted}

    def page(self) -> str:
        """All metrics in text format 0.0.4."""
        samples: dict[Gauge, list[Sample]] = defaultdict(list)
        for (name, domain), probed in self._last.items():
            probe, outcome = self._probes[name], probed.outcome
            samples[probe.success].append(((domain,), float(outcome.success)))
            samples[probe.duration].append(((domain,), probed.duration))
            if outcome.reason is not None:
                samples[probe.failure].append(((domain, outcome.reason), 1))
            for gauge, labels, number in outcome.samples:
                samples[gauge].append((labels, number))
        samples[PORT_25_BLOCKED] = [((), float(self._port_25.blocked))]
        return "".join(render(gauge, found) for gauge, found in samples.items())
