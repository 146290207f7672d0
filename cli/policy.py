"""`mailposture policy`: the next step of a change of policy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cli.options import DONE, FAILED, configured_domain, with_config
from cli.vantage import looking_from, nameserver_option
from mailposture.checks.dns import MxLookup, StsRecordLookup, check_mta_sts_record, check_mx
from mailposture.checks.policy import PolicyFetch, fetch_policy
from mailposture.checks.result import Outcome
from mailposture.config.model import PolicyMode
from mailposture.records.dns_records import TTL
from mailposture.records.mta_sts import configured_policy, covers, policy_host_name, policy_url, record_name, render
from mailposture.records.policy_change import Situation, Stage, Step, next_step, words_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailposture.checks.vantage import Vantage
    from mailposture.config.model import Config, Domain, MtaStsPolicy


_AT_ONCE = 10  # domains


@dataclass(frozen=True, kw_only=True)
class _Look:
    """A domain as configured and as seen, and what follows."""

    policy: MtaStsPolicy | None
    mx: MxLookup
    record: StsRecordLookup
    fetched: PolicyFetch
    step: Step


@click.command()
@with_config
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@nameserver_option
def command(config: Config, domains: tuple[str, ...], nameservers: tuple[str, ...]) -> None:
    """Say the next step of publishing, changing or withdrawing the MTA-STS policy of DOMAIN, and how long to wait.

    Change the configuration first, then ask this command until it says that all agrees. It compares the configured
    policy, the one that senders get from the policy host, and the id in DNS, and changes nothing. Several DOMAINs get a
    line each, and without any, all configured domains do.

    Exit codes: 0 nothing is left to do, or no policy is configured and none is seen, 1 there is a next step, 2 wrong
    usage or configuration.
    """
    ours = [configured_domain(config, name) for name in domains] or config.domains
    looks = asyncio.run(_look_at_all(ours, looking_from(config.probes, nameservers)))
    if len(ours) == 1:
        click.echo(_in_full(ours[0].name, looks[0]))
    else:
        click.echo(_in_lines([domain.name for domain in ours], looks))
    raise SystemExit(DONE if all(_settled(look) for look in looks) else FAILED)


def _settled(look: _Look) -> bool:
    return look.step.stage in {Stage.DONE, Stage.NOT_CONFIGURED}


async def _look_at_all(domains: Sequence[Domain], vantage: Vantage) -> list[_Look]:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def bounded(domain: Domain) -> _Look:
        async with slots:
            return await _look_at(domain, vantage)

    return await asyncio.gather(*map(bounded, domains))


async def _look_at(domain: Domain, vantage: Vantage) -> _Look:
    policy = configured_policy(domain)
    mx, record, fetched = await asyncio.gather(
        check_mx(domain.name, resolver=vantage.resolver),
        check_mta_sts_record(domain.name, resolver=vantage.resolver),
        fetch_policy(domain.name, vantage=vantage),
    )
    asked = {record_name(domain.name): record.result, policy_host_name(domain.name): fetched.result}
    if not mx.hosts and not (policy and policy.mode is PolicyMode.NONE):  # which allows every MX
        asked[domain.name] = mx.result
    step = next_step(
        Situation(
            domain=domain.name,
            wanted=domain.mta_sts is not None,
            configured=policy,
            served=fetched.body if fetched.policy else None,
            serving_fault=fetched.result.detail,
            record_id=record.id,
            record_ttl=record.ttl,
            unanswered=tuple(name for name, result in asked.items() if result.outcome is Outcome.UNKNOWN),
            mx_hosts=mx.hosts,
            parked=mx.parked,
        )
    )
    return _Look(policy=policy, mx=mx, record=record, fetched=fetched, step=step)


def _in_lines(names: Sequence[str], looks: Sequence[_Look]) -> str:
    width = max(map(len, names))
    lines = [
        f"{name:<{width}}  {look.step.stage:<14}  {'' if _settled(look) else f'mailposture policy {name}'}".rstrip()
        for name, look in zip(names, looks, strict=True)
    ]
    left = sum(not _settled(look) for look in looks)
    return "\n".join([*lines, "", f"{len(names)} domains: {left} with a next step"])


def _in_full(domain: str, look: _Look) -> str:
    step = look.step
    lines = [_seen(domain, look.policy, look.mx, look.record, look.fetched), ""]
    lines.append(f"Next step ({step.stage}): {step.instruction}")
    if step.record:
        lines += ["", f'    {record_name(domain)}. {TTL} IN TXT "{step.record}"']
    return "\n".join(lines)


def _seen(domain: str, policy: MtaStsPolicy | None, mx: MxLookup, record: StsRecordLookup, fetched: PolicyFetch) -> str:
    vouched = "DNSSEC vouches for them" if mx.authenticated else "nothing vouches for them"
    lines = [f"MX hosts of {domain} in DNS ({vouched}):"]
    for host in mx.hosts:
        covered = policy is None or covers(policy.mx, host)
        lines.append(f"    {host}" if covered else f"    {host}   (the configured policy does not cover it)")
    if not mx.hosts:
        lines.append(f"    none: {mx.result.detail}")
    lines.append("Configured policy:")
    lines += [f"    {line}" for line in render(policy).decode().splitlines()] if policy else ["    none"]
    lines += [f"Served at {policy_url(domain)}:", f"    {fetched.result.detail}"]
    ttl = f" (TTL {words_for(record.ttl)})" if record.ttl else ""
    lines += [f"Record {record_name(domain)}:", f"    {record.result.detail}{ttl}"]
    return "\n".join(lines)
