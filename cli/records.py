"""`mailposture records`: exactly what to publish."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from cli.exit_codes import DONE, FAILED
from cli.options import configured_domain, with_config
from cli.vantage import looking_from, nameserver_option
from mailposture.quoting import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config
    from mailposture.expectation import Expectation
    from mailposture.records.dns_records import DnsRecord


@click.command()
@with_config
@click.argument("domains", metavar="[DOMAIN]...", nargs=-1)
@click.option(
    "--format", "format_", type=click.Choice(["zone", "json", "terraform"]), default="zone", show_default=True
)
@click.option(
    "--tlsa", is_flag=True, help="Also pin the keys that the MX servers show now (DANE); needs outbound port 25."
)
@click.option(
    "--next-policy",
    is_flag=True,
    help="Make the DMARC policy one step stricter where reports show that to be safe (`mailposture readiness`).",
)
@nameserver_option
def command(
    config: Config,
    domains: tuple[str, ...],
    *,
    format_: str,
    tlsa: bool,
    next_policy: bool,
    nameservers: tuple[str, ...],
) -> None:
    """Print the DNS records that DOMAINs should publish, as a zone file, as JSON or for Terraform (*.tf.json).

    Without DOMAIN, those of all configured domains. The records follow from the configuration: where reports go
    (_smtp._tls, _dmarc), where the MTA-STS policy is (mta-sts) and its id (_mta-sts). A DMARC policy that is published
    already is kept, with our address added; the first one is p=none, which refuses no mail. With --next-policy it is
    followed by p=quarantine, then p=reject, each as a test (t=y) before. Nothing is published by this command.

    Exit codes: 0 all is printed, 1 DNS does not say which DMARC policy is published, or a server's key could not be
    seen (--tlsa), 2 wrong usage or configuration.
    """
    from mailposture.expectation import expectation  # noqa: PLC0415
    from mailposture.records import formats as record_formats  # noqa: PLC0415

    ours = [configured_domain(config, domain) for domain in domains] or config.domains
    expectations = [expectation(config, domain) for domain in ours]
    records, unseen = asyncio.run(_records(config, expectations, nameservers))
    if tlsa:
        pinned, unpinned = asyncio.run(_tlsa_records(config, expectations, nameservers))
        records += pinned
        unseen += unpinned
    if next_policy:
        from cli.database import database  # noqa: PLC0415

        with database(config, user=config.clickhouse.analyst_user) as client:
            records, kept = stricter(client, records)
        for line in kept:
            click.echo(line, err=True)
    written = {"zone": record_formats.zone, "json": record_formats.as_json, "terraform": record_formats.terraform}
    click.echo(written[format_](records), nl=False)
    for line in unseen:
        click.echo(line, err=True)
    raise SystemExit(FAILED if unseen else DONE)


async def _records(
    config: Config, expectations: Sequence[Expectation], nameservers: tuple[str, ...]
) -> tuple[list[DnsRecord], list[str]]:
    """What is expected, with the DMARC policies that apply now kept in it, and for which domains these are unknown."""
    from mailposture.checks.dmarc import Walk, next_record, walk  # noqa: PLC0415
    from mailposture.checks.outside import for_each  # noqa: PLC0415
    from mailposture.records import dmarc  # noqa: PLC0415

    resolver = looking_from(config.probes, nameservers).resolver
    walks = await for_each(
        expectations,
        lambda expected: walk(expected.domain, resolver=resolver),
        broken=lambda _, result: Walk(unanswered=result.detail),
    )
    records: list[DnsRecord] = []
    unseen: list[str] = []
    for expected, seen in zip(expectations, walks, strict=True):
        text: str | None = next_record(expected, seen, parked=bool(expected.parked))
        if seen.unanswered and not expected.parked:
            text = None
            unseen.append(
                f"no _dmarc record for {expected.domain}: a policy may be published, and is to be kept, "
                f"but DNS does not answer ({seen.unanswered})"
            )
        name = dmarc.record_name(expected.domain)
        records += [replace(one, value=text) if one.name == name else one for one in expected.records]
    return records, unseen


def stricter(client: Client, records: Sequence[DnsRecord]) -> tuple[list[DnsRecord], list[str]]:
    """The records with the next DMARC policies where they are safe, and why others stay as they are."""
    from mailposture.records import dmarc  # noqa: PLC0415
    from reports.dmarc.readiness import Verdict, read_readiness  # noqa: PLC0415

    changed: list[DnsRecord] = []
    kept: list[str] = []
    for record in records:
        domain = record.domain or ""
        read = dmarc.records_among([(record.value or "").encode()]) if record.type == "TXT" else []
        following = dmarc.next_step(read[0]) if read and record.name == dmarc.record_name(domain) else None
        if following is None:
            changed.append(record)
            continue
        policy, text = following
        readiness = read_readiness(client, domain)
        steps = readiness.steps if readiness else ()
        step = next((each for each in steps if (each.scope, each.step) == ("domain", policy)), None)
        if step is not None and step.verdict is Verdict.SAFE:
            changed.append(replace(record, value=text))
            continue
        changed.append(record)
        why = " ".join(step.reasons) if step is not None else "no report about the last 30 days says anything."
        kept.append(f"_dmarc of {domain} stays as it is: p={policy} is not known to be safe. {printable(why)}")
    return changed, kept


async def _tlsa_records(
    config: Config, expectations: Sequence[Expectation], nameservers: tuple[str, ...]
) -> tuple[list[DnsRecord], list[str]]:
    """One record for each key that the MX servers show, and what could not be seen.

    A server that was not seen may show another key, which the records of the others would have refused.
    """
    from mailposture.checks.certificates import key_of  # noqa: PLC0415
    from mailposture.checks.dns import MxLookup, check_mx  # noqa: PLC0415
    from mailposture.checks.outside import for_each, is_parked  # noqa: PLC0415
    from mailposture.checks.servers import look_at_servers  # noqa: PLC0415
    from mailposture.records.dns_records import tlsa_record  # noqa: PLC0415

    vantage = looking_from(config.probes, nameservers)
    lookups = await for_each(
        expectations,
        lambda expected: check_mx(expected, resolver=vantage.resolver),
        broken=lambda _, result: MxLookup(result=result),
    )
    receiving = [
        (expected.domain, mx) for expected, mx in zip(expectations, lookups, strict=True) if not is_parked(expected, mx)
    ]
    unseen = [f"no TLSA records for {domain}: {mx.result.detail}" for domain, mx in receiving if not mx.hosts]
    hosts = dict.fromkeys(host for _, mx in receiving for host in mx.hosts)
    view = await look_at_servers(list(hosts), vantage=vantage)
    unseen += [f"no TLSA record for {one.subject}: {one.detail}" for one in view.without_address]
    records: dict[tuple[str, str | None], DnsRecord] = {}
    for probe in view.probes:
        keys = [key for chain in probe.chains if (key := key_of(chain[0])) is not None]
        if not keys:
            unseen.append(
                f"no TLSA record for {probe.host} [{probe.address}]: {probe.detail or 'its key is unreadable'}"
            )
        for key in keys:
            around = config.domain_around(probe.host)
            record = replace(tlsa_record(probe.host, key), domain=around.name if around else None)
            records[record.name, record.value] = record
    return list(records.values()), unseen
