"""`mailposture policy`: the next step of a change of policy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cli.exit_codes import DONE, FAILED
from cli.options import configured_domain, with_config
from cli.vantage import looking_from, nameserver_option
from mailposture.checks.outside import PolicyView, for_each, look_at_policy
from mailposture.checks.result import Outcome
from mailposture.config.domains import PolicyMode
from mailposture.expectation import expectation
from mailposture.records.dns_records import TTL
from mailposture.records.mta_sts import policy_host_name, policy_url, record_name, render
from mailposture.records.policy_change import Situation, Stage, Step, next_step, words_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.result import CheckResult
    from mailposture.checks.vantage import Vantage
    from mailposture.config.model import Config
    from mailposture.expectation import Expectation


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What follows for a domain, and what it follows from; None if looking at it failed."""

    step: Step
    view: PolicyView | None


@click.command()
@with_config
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@nameserver_option
def command(config: Config, domains: tuple[str, ...], nameservers: tuple[str, ...]) -> None:
    """Print the next step of publishing, changing or withdrawing the MTA-STS policy of DOMAIN, and how long to wait.

    Change the configuration first, then ask this command until it says that all agrees. It compares the configured
    policy, the one that senders get from the policy host, and the id in DNS, and changes nothing. Several DOMAINs get a
    line each, and without any, all configured domains do.

    Exit codes: 0 nothing is left to do, or no policy is configured and none is seen, 1 there is a next step, 2 wrong
    usage or configuration.
    """
    ours = [configured_domain(config, name) for name in domains] or config.domains
    expectations = [expectation(config, domain) for domain in ours]
    vantage = looking_from(config.probes, nameservers)
    looks = asyncio.run(for_each(expectations, lambda expected: _look_at(expected, vantage), broken=_broken))
    if len(ours) == 1:
        click.echo(_in_full(looks[0]))
    else:
        click.echo(_in_lines([domain.name for domain in ours], looks))
    raise SystemExit(DONE if all(_settled(look) for look in looks) else FAILED)


def _settled(look: _Look) -> bool:
    return look.step.stage in {Stage.DONE, Stage.NOT_CONFIGURED}


async def _look_at(expected: Expectation, vantage: Vantage) -> _Look:
    view = await look_at_policy(expected, vantage=vantage)
    return _Look(view=view, step=next_step(_situation(view)))


def _broken(_: Expectation, result: CheckResult) -> _Look:
    return _Look(view=None, step=Step(stage=Stage.UNKNOWN, instruction=f"{result.detail}; {result.instruction}"))


def _situation(view: PolicyView) -> Situation:
    expected, domain = view.expected, view.expected.domain
    asked = {record_name(domain): view.record.result, policy_host_name(domain): view.fetched.result}
    if not view.mx.hosts and not (expected.policy and expected.policy.mode is PolicyMode.NONE):  # it allows every MX
        asked[domain] = view.mx.result
    return Situation(
        domain=domain,
        wanted=expected.wants_policy,
        configured=expected.policy,
        served=view.fetched.body if view.fetched.policy else None,
        serving_fault=view.fetched.result.detail,
        record_id=view.record.id,
        record_ttl=view.record.ttl,
        unanswered=tuple(name for name, result in asked.items() if result.outcome is Outcome.UNKNOWN),
        mx_hosts=view.mx.hosts,
        parked=view.mx.null or bool(expected.parked),
    )


def _in_lines(names: Sequence[str], looks: Sequence[_Look]) -> str:
    width = max(map(len, names))
    lines = [
        f"{name:<{width}}  {look.step.stage:<14}  {'' if _settled(look) else f'mailposture policy {name}'}".rstrip()
        for name, look in zip(names, looks, strict=True)
    ]
    left = sum(not _settled(look) for look in looks)
    return "\n".join([*lines, "", f"{len(names)} domains: {left} with a next step"])


def _in_full(look: _Look) -> str:
    step = look.step
    lines = [] if look.view is None else [_seen(look.view), ""]
    lines.append(f"Next step ({step.stage}): {step.instruction}")
    if step.record and look.view:
        lines += ["", f'    {record_name(look.view.expected.domain)}. {TTL} IN TXT "{step.record}"']
    return "\n".join(lines)


def _seen(view: PolicyView) -> str:
    domain, policy, mx = view.expected.domain, view.expected.policy, view.mx
    authenticated = "authenticated by DNSSEC" if mx.authenticated else "not authenticated by DNSSEC"
    lines = [f"MX hosts of {domain} in DNS ({authenticated}):"]
    uncovered = policy.uncovered(mx.hosts) if policy else ()
    lines += [
        f"    {host}   (the configured policy does not cover it)" if host in uncovered else f"    {host}"
        for host in mx.hosts
    ]
    if not mx.hosts:
        lines.append(f"    none: {mx.result.detail}")
    lines.append("Configured policy:")
    lines += [f"    {line}" for line in render(policy).decode().splitlines()] if policy else ["    none"]
    lines += [f"Served at {policy_url(domain)}:", f"    {view.fetched.result.detail}"]
    ttl = f" (TTL {words_for(view.record.ttl)})" if view.record.ttl else ""
    lines += [f"Record {record_name(domain)}:", f"    {view.record.result.detail}{ttl}"]
    return "\n".join(lines)
