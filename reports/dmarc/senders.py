"""Who sends for us, as tables that views join with: the catalogue of services, and `senders:` of the configuration.

Written at every start, so piles and names of all of history follow both.
"""

from __future__ import annotations

from difflib import get_close_matches
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from mailposture.clickhouse.reference import ReferenceTable, add_rows, known_rows
from mailposture.domain_names import organizational_domain
from reports.dmarc.catalogue import service_named, services

if TYPE_CHECKING:
    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.reference import Row
    from mailposture.config.model import Config

_SERVICES: Final = ReferenceTable(
    "sending_services", ("domain", "service", "rank", "kind", "shared", "forwards", "tenants", "action", "active")
)
_NETWORKS: Final = ReferenceTable("sending_networks", ("service", "first_ip", "last_ip", "active"))
_SENDERS: Final = ReferenceTable(
    "configured_senders", ("policy_domain", "sender", "service", "domain", "first_ip", "last_ip", "active")
)
_NO_ADDRESS: Final = IPv6Address("::")


def write_senders(client: Client, config: Config) -> None:
    """Make the tables say what the catalogue and the configuration say; what left them stays, as inactive."""
    _write(client, config, _SERVICES, _catalogue(), key=1)
    _write(client, config, _NETWORKS, _networks(), key=3)
    _write(client, config, _SENDERS, _configured(config), key=6)


def check_senders(config: Config) -> None:
    """Raise ValueError if `senders:` names a service that the catalogue lacks, or the domain of one that it has."""
    of_services = {name: service.name for service in services() for name in service.domains}
    for domain in config.domains:
        for sender in domain.senders:
            for name in sender.domains:
                service = of_services.get(organizational_domain(name) or name)
                if service is not None:
                    raise ValueError(
                        f"{domain.name}: senders: {sender.name}: {name} is of {service}: write services: [{service}]"
                    )
            for name in sender.services:
                if service_named(name) is None:
                    known = {service.name.casefold(): service.name for service in services()}
                    near = get_close_matches(name.casefold(), known, n=1)
                    hint = f"did you mean {known[near[0]]}?" if near else "`mailposture explain senders` lists all"
                    raise ValueError(
                        f"{domain.name}: senders: {sender.name}: {name!r} is no service of the catalogue; {hint}"
                    )


def _write(client: Client, config: Config, table: ReferenceTable, wanted: set[Row], *, key: int) -> None:
    """Rows end with `active`; `key` columns come first."""
    known = known_rows(client, config, table)
    named = {row[:key] for row in wanted}
    left: set[Row] = {(*row[:-1], False) for row in known if row[:key] not in named}
    add_rows(client, config, table, (wanted | left) - known)


def _catalogue() -> set[Row]:
    return {
        (
            domain,
            service.name,
            rank,
            service.kind.value,
            service.kind.shared,
            service.kind.forwards,
            domain in service.tenants,
            service.action,
            True,
        )
        for rank, service in enumerate(services(), 1)
        for domain in service.domains
    }


def _networks() -> set[Row]:
    return {
        (service.name, _mapped(network[0]), _mapped(network[-1]), True)
        for service in services()
        for network in service.networks
    }


def _configured(config: Config) -> set[Row]:
    rows: set[Row] = set()
    for domain in config.domains:
        for sender in domain.senders:
            for network in sender.addresses:
                first, last = _mapped(network[0]), _mapped(network[-1])
                rows.add((domain.name, sender.name, "", "", first, last, True))
            for name in sender.domains:
                rows.add((domain.name, sender.name, "", name, _NO_ADDRESS, _NO_ADDRESS, True))
            for name in sender.services:
                service = service_named(name)
                if service is not None:
                    rows.add((domain.name, sender.name, service.name, "", _NO_ADDRESS, _NO_ADDRESS, True))
    return rows


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
