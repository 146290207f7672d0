"""Alerts about what probes find at parked domains."""

from __future__ import annotations

from typing import Final

from reports.alerts.alert import Alert
from reports.causes import Severity

_DOMAIN: Final = "mailposture-dmarc-domain?var-domain={{ $labels.policy_domain }}&from=now-14d&to=now"

PARKED_ALERTS: Final = (
    Alert(
        name="ParkedDomainUnprotected",
        kind="outside",
        dashboard=_DOMAIN,
        cause="parked-unprotected",
        severity=Severity.WARNING,
        summary="The {{ $labels.record }} record of {{ $labels.policy_domain }}, which is parked, does not protect it",
        description="Our probe finds the {{ $labels.record }} record of {{ $labels.policy_domain }} missing or too "
        "weak: others can send in its name and have their mail delivered, or mail for it is taken.",
        after="1h",
    ),
    Alert(
        name="ParkedDomainIncomplete",
        kind="outside",
        dashboard=_DOMAIN,
        cause="parked-unprotected",
        severity=Severity.INFO,
        summary="The {{ $labels.record }} record of {{ $labels.policy_domain }}, which is parked, is not yet right",
        description="Nothing is open at {{ $labels.policy_domain }}, but either it does not say that no DKIM signature "
        "in its name is valid, or it still announces an MTA-STS policy.",
        after="1d",
    ),
    Alert(
        name="DomainNotMarkedAsParked",
        kind="outside",
        dashboard=_DOMAIN,
        cause="parked-not-marked",
        severity=Severity.INFO,
        summary="{{ $labels.policy_domain }} says in DNS that it has no mail, and is not marked as parked",
        description="{{ $labels.policy_domain }} has a null MX and SPF -all, and its configuration expects mail and "
        "reports.",
        after="1d",
    ),
)
