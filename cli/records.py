"""`mailposture records`: exactly what to publish."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from cli.options import configured_domain, with_config
from cli.vantage import looking_from, nameserver_option

if TYPE_CHECKING:
    from mailposture.config import Config
    from mailposture.dns_records import DnsRecord


@click.command()
@with_config
@click.argument("domain")
@click.option(
    "--format", "format_", type=click.Choice(["zone", "json", "terraform"]), default="zone", show_default=True
)
@click.option(
    "--tlsa", is_flag=True, help="Also pin the keys that the MX servers show now (DANE); needs outbound port 25."
)
@nameserver_option
def command(config: Config, domain: str, format_: str, tlsa: bool, nameservers: tuple[str, ...]) -> None:
    """Print the DNS records that DOMAIN should publish, as a zone file, as JSON or as Terraform.

    The records follow from the configuration: where reports go (_smtp._tls), where the MTA-STS policy is (mta-sts) and
    its id (_mta-sts). Nothing is published by this command.
    """
    from mailposture import record_formats  # noqa: PLC0415
    from mailposture.dns_records import records_to_publish  # noqa: PLC0415

    records = list(records_to_publish(config, configured_domain(config, domain)))
    if tlsa:
        records += asyncio.run(_tlsa_records(config, domain, nameservers))
    written = {"zone": record_formats.zone, "json": record_formats.as_json, "terraform": record_formats.terraform}
    click.echo(written[format_](records), nl=False)


async def _tlsa_records(config: Config, domain: str, nameservers: tuple[str, ...]) -> list[DnsRecord]:
    """One record for each key that the MX servers of a domain show; what cannot be seen is said on standard error."""
    from mailposture.checks.dns import check_mx  # noqa: PLC0415
    from mailposture.checks.servers import probe_servers  # noqa: PLC0415
    from mailposture.dns_records import tlsa_record  # noqa: PLC0415

    vantage = looking_from(config.probes, nameservers)
    mx = await check_mx(domain, resolver=vantage.resolver)
    if not mx.hosts:
        click.echo(f"no TLSA records: {mx.result.detail}", err=True)
    records: dict[tuple[str, str | None], DnsRecord] = {}
    for probe in await probe_servers(mx.hosts, vantage=vantage):
        if not probe.chain:
            click.echo(f"no TLSA record for {probe.host} [{probe.address}]: {probe.detail}", err=True)
            continue
        record = tlsa_record(probe.host, probe.chain[0])
        records[record.name, record.value] = record
    return list(records.values())
