"""One alert about a domain: its name, and the cause of the view `attention` that it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reports.causes import Severity

DOMAIN_DASHBOARD: Final = "mailposture-domain?var-domain={{ $labels.policy_domain }}&from=now-14d&to=now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert that fires while a cause of some severity needs attention and is not acknowledged.

    `summary` and `description` are templates of Prometheus. $value is the number of servers, senders or sources
    that the cause is about; what probes find (kind `outside`) has an alert of its own per server or record, the
    label `mx` or `record`.
    """

    name: str
    cause: str
    severity: Severity
    summary: str
    description: str
    dashboard: str = DOMAIN_DASHBOARD
    kind: str = "tls"
    after: str = "10m"  # waits out a batch of reports that is being stored
