"""The policy host's metrics: who asks, what we serve, and how long the certificates last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from reports.reloading import Reloads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from policy_host.certificates import Certificates
    from policy_host.site import PolicySite


class Metrics:
    """One registry with all of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "mailposture_policy_host_requests",
            "Requests for MTA-STS policies, by policy domain (other: a host name that is not ours) and status",
            ["policy_domain", "status"],
            registry=self.registry,
        )
        self.reloads = Reloads("policy-host", registry=self.registry)

    def observe(self, site: PolicySite, certificates: Certificates | None) -> None:
        """Also export what the site serves, as it is at each scrape."""
        self.registry.register(_Hosted(site, certificates))


class _Hosted(Collector):
    def __init__(self, site: PolicySite, certificates: Certificates | None) -> None:
        self._site = site
        self._certificates = certificates

    def collect(self) -> Iterator[Metric]:
        info = InfoMetricFamily(
            "mta_sts_hosted_policy",
            "The MTA-STS policy that we host; id is what the _mta-sts TXT record must say",
            labels=["policy_domain"],
        )
        max_age = GaugeMetricFamily(
            "mta_sts_hosted_policy_max_age_seconds", "max_age of the policy that we host", labels=["policy_domain"]
        )
        for policy in self._site.policies.values():
            info.add_metric([policy.domain], {"mode": policy.mode.value, "id": policy.id})
            max_age.add_metric([policy.domain], policy.max_age)
        yield info
        yield max_age
        if self._certificates is not None:
            yield self._expiry(self._certificates)

    def _expiry(self, certificates: Certificates) -> Metric:
        expiry = GaugeMetricFamily(
            "mta_sts_hosted_certificate_not_after_timestamp_seconds",
            "When the certificate for mta-sts.<policy_domain> expires; 0 if none of our files is valid for that name",
            labels=["policy_domain"],
        )
        for host, policy in self._site.policies.items():
            certificate = certificates.for_host(host)
            expiry.add_metric([policy.domain], certificate.not_after.timestamp() if certificate else 0)
        return expiry
