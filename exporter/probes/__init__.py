"""What senders would see at our domains, looked at again and again: as metrics, and as history in ClickHouse.

After blackbox_exporter's habits: one file a probe, all of one function type, a table that maps names to them, and
success, duration and a reason for each. They measure what mailposture/checks finds, as `mailposture check` prints it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.probes import dns, mta_sts, mx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exporter.probes.outcome import Probe

PROBES: Mapping[str, Probe] = {probe.name: probe for probe in (dns.PROBE, mta_sts.PROBE, mx.PROBE)}
