"""All alerts about domains: an alert per cause and severity, in a file by what finds the cause."""

from __future__ import annotations

from typing import Final

from reports.alerts.dmarc import DMARC_ALERTS
from reports.alerts.parked import PARKED_ALERTS
from reports.alerts.probes import PROBE_ALERTS
from reports.alerts.tls import TLS_ALERTS

ALERTS: Final = (*TLS_ALERTS, *DMARC_ALERTS, *PROBE_ALERTS, *PARKED_ALERTS)
