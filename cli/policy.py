"""`mailposture policy`: the next step of a change of policy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from cli.options import DONE, FAILED, configured_domain, with_config
from cli.vantage import looking_from, nameserver_option
from mailposture.checks.dns import MxLookup, StsRecordLookup, check_mta_sts_record, check_mx
from mailposture.checks.policy import PolicyFetch, fetch_policy
from mailposture.checks.result import Outcome
from mailposture.mta_sts import configured_policy, covers, policy_url, record_name, render
from mailposture.policy_change import Situation, Stage, next_step, words_for

if TYPE_CHECKING:
    from mailposture.checks.vantage import Vantage
    from mailposture.config import Config, MtaStsPolicy


@click.command()
@with_config
@click.argument("domain")
@nameserver_option
def command(config: Config, domain: str, nameservers: tuple[str, ...]) -> None:
    """Say the next step of publishing, changing or withdrawing the MTA-STS policy of DOMAIN, and how long to wait.

    Change the configuration first, then ask this command until it says that all agrees. It compares the configured
    policy, the one that senders get from the policy host, and the id in DNS, and changes nothing.

    Exit codes: 0 nothing is left to do, or no policy is configured and none is seen, 1 there is a next step, 2 wrong
    usage or configuration.
    """
    ours = configured_domain(config, domain)
    policy = configured_policy(ours)
    mx, record, fetched = asyncio.run(_look(ours.name, looking_from(config.probes, nameservers)))
    step = next_step(
        Situation(
            domain=ours.name,
            wanted=ours.mta_sts is not None,
            configured=policy,
            served=fetched.body if fetched.policy else None,
            serving_fault=fetched.result.detail,
            record_id=record.id,
            record_ttl=record.ttl,
            record_unknown=record.result.outcome is Outcome.UNKNOWN,
            mx_hosts=mx.hosts,
        )
    )
    click.echo(_seen(ours.name, policy, mx, record, fetched))
    click.echo(f"\nNext step ({step.stage}): {step.instruction}")
    if step.record:
        click.echo(f'\n    {record_name(ours.name)}. 3600 IN TXT "{step.record}"')
    raise SystemExit(DONE if step.stage in {Stage.DONE, Stage.NOT_CONFIGURED} else FAILED)


async def _look(domain: str, vantage: Vantage) -> tuple[MxLookup, StsRecordLookup, PolicyFetch]:
    return await asyncio.gather(
        check_mx(domain, resolver=vantage.resolver),
        check_mta_sts_record(domain, resolver=vantage.resolver),
        fetch_policy(domain, vantage=vantage),
    )


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
