"""Reports written straight into the tables of the real engine, for tests that ask what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import count
from typing import TYPE_CHECKING

from engine import days_ago

from reports.tls.failures import classify

if TYPE_CHECKING:
    from engine import Storage

_keys = count(1)


@dataclass(kw_only=True)
class Reports:
    """Writes reports; each is of one organization about one policy."""

    storage: Storage
    newcomers: bool = False  # whether reporters are seen for the first time, else they have been known for months

    def add(
        self,
        domain: str,
        *,
        day: int,
        organization: str = "Alpha",
        successful: int = 0,
        failures: dict[str, int] | None = None,
        receiving_mx: str = "mx1.shop.example",
        policy_type: str = "sts",
        sts_mode: str = "testing",
        trust: str = "dkim",
        counts: bool = True,
        delay: timedelta = timedelta(hours=10),
        source: str = "smtp",
        reporter: str = "",
        arrived: datetime | None = None,
    ) -> None:
        """`day` counts back from today: 1 is yesterday. `failures`: sessions by result type.

        The reporter is made of the organization's name unless given, and is long known unless `newcomers` is set.
        """
        failures = failures or {}
        reporter = reporter or f"{organization.lower()}.example"
        when = days_ago(day)
        start = datetime.combine(when, time(), UTC)
        report = {
            "day": when,
            "report_key": next(_keys),
            "reporter": reporter,
            "reporter_proven": trust in ("dkim", "authserv"),
            "organization": organization,
            "trust": trust,
            "successful_sessions": successful,
            "failed_sessions": sum(failures.values()),
        }
        of_policy = {"policy_domain": domain, "policy_type": policy_type, "sts_mode": sts_mode, "counts": counts}
        reported = "" if policy_type == "tlsa" else domain
        end = start + timedelta(days=1)
        received_at = arrived or end + delay
        arrival = {"period_start": start, "period_end": end, "received_at": received_at, "policy_domains": [domain]}
        if not self.newcomers:
            self.storage.accepted(domain, reporter, trust, days_ago(90), days_ago(0))
        self.storage.put("tls_reports", {**report, **arrival, "source": source})
        self.storage.put("tls_policies", {**report, **of_policy, "reported_policy_domain": reported}, known=False)
        del report["successful_sessions"]
        for index, (result_type, sessions) in enumerate(failures.items()):
            classification = classify(result_type)
            failure = {
                "failure_index": index,
                "result_type": result_type,
                "category": classification.category.value,
                "severity": classification.severity.value,
                "receiving_mx": receiving_mx,
                "failed_sessions": sessions,
            }
            self.storage.put("tls_failures", {**report, **of_policy, **failure}, known=False)
