"""The policies that we host, by the host name that senders ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from mailposture.expectation import expectation
from mailposture.records.mta_sts import policy_host_name, policy_id, render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mailposture.config.domains import PolicyMode
    from mailposture.config.model import Config

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class HostedPolicy:
    """One domain's policy, rendered once."""

    domain: str
    mode: PolicyMode
    max_age: int
    body: bytes
    id: str


def hosted_policies(config: Config) -> Mapping[str, HostedPolicy]:
    """Every policy of the configuration by policy host (`mta-sts.<domain>`).

    A policy that would be invalid is left out and logged: senders that know an earlier policy keep to it when there is
    none to fetch, whereas a wrong one would replace it.
    """
    policies: dict[str, HostedPolicy] = {}
    for domain in config.domains:
        policy = expectation(config, domain).policy
        if policy is not None:
            body = render(policy)
            policies[policy_host_name(domain.name)] = HostedPolicy(
                domain=domain.name, mode=policy.mode, max_age=policy.max_age, body=body, id=policy_id(body)
            )
        elif domain.mta_sts is not None:
            log.error(
                "policy not hosted",
                policy_domain=domain.name,
                reason=f"mode {domain.mta_sts.mode} needs MX hosts, and neither mta_sts.mx nor mx names any",
                next_step=f"`mailposture policy {domain.name}` shows the MX hosts to put there",
            )
    return policies
