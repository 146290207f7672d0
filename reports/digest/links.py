"""Where a digest leads: the dashboards, with its domain and its week."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from reports.digest.digest import Problem
    from reports.digest.week import Week


class Links:
    """Addresses of dashboards; empty where nobody has said where Grafana is."""

    def __init__(self, grafana_url: str, week: Week) -> None:
        self._base = grafana_url.rstrip("/")
        start, end = week.in_milliseconds
        self._range = {"from": str(start), "to": str(end)}

    def overview(self) -> str:
        return self._to("mailposture-overview")

    def domain(self, name: str) -> str:
        """TLS to a domain."""
        return self._to("mailposture-domain", domain=name)

    def mail_from(self, name: str) -> str:
        """Mail in the name of a domain."""
        return self._to("mailposture-dmarc-domain", domain=name)

    def of_problem(self, problem: Problem) -> str:
        return (self.mail_from if problem.kind == "dmarc" else self.domain)(problem.policy_domain)

    def _to(self, dashboard: str, **variables: str) -> str:
        if not self._base:
            return ""
        chosen = {f"var-{name}": value for name, value in variables.items()}
        return f"{self._base}/d/{dashboard}?{urlencode({**chosen, **self._range})}"
