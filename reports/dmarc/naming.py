"""Names of addresses that send mail in our name: reverse names that lead back to the address, else of its network.

Looked up after storing, a round at a time, those with most messages first; kept in the table `sender_names` until they
expire. Off unless `source_names` of the configuration says otherwise: the nameservers see who sends mail in our name.

Anybody can give his address any reverse name, so a name counts only if it leads back to the address (forward-confirmed,
RFC 8601, section 3), and it is untrusted text: only a host name in A-labels is kept, and what is shown is its
registered domain. Networks come from an MMDB file of autonomous systems, which the operator provides.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog
from dns.exception import DNSException
from dns.reversename import from_address

from mailposture.checks.resolver import Resolver, Status
from mailposture.domain_names import normalize, organizational_domain
from mailposture.problems import ProblemError
from reports.dmarc.rolling_up import sources_changed
from reports.text import clean

if TYPE_CHECKING:
    from datetime import datetime
    from ipaddress import IPv4Address
    from pathlib import Path

    from clickhouse_connect.driver import Client

    from mailposture.config.model import Config

log = structlog.get_logger()

_ROUND: Final = 200  # addresses at a time
_MOST: Final = 20_000  # addresses of a month that are worth a name, those with most messages
_AT_ONCE: Final = 20  # questions to DNS
_REVERSE_NAMES: Final = 3  # of one address that are tried; more are for web servers
_SINCE: Final = timedelta(days=30)  # who has sent since then gets a name
_KEPT: Final = timedelta(days=30)
_KEPT_WITHOUT_ANSWER: Final = timedelta(hours=6)
_FORGOTTEN: Final = timedelta(days=60)  # after its name expired, an address that sends no more
_NAME_LENGTH: Final = 60
_OPERATOR: Final = ("autonomous_system_organization", "as_name", "name")  # GeoLite and DB-IP, IPinfo, others
_BUSY, _IDLE = 1.0, 300.0  # seconds until the next round


class Name(NamedTuple):
    """What an address is called."""

    host: str = ""  # its reverse name, forward-confirmed
    domain: str = ""  # registered domain of that
    answered: bool = True  # false: DNS gave no answer, so it is asked again soon


def name_sources(client: Client, config: Config, now: datetime) -> float:
    """Look up one round of names, and return how many seconds the next one has time."""
    rules = config.source_names
    if not rules.enabled:
        return _IDLE
    addresses = _unnamed(client, config, now)
    if not addresses:
        _forget(client, config, now)
        return _IDLE
    resolver = Resolver(
        nameservers=config.authentication.nameservers, timeout=config.authentication.dns_timeout.total_seconds()
    )
    names = asyncio.run(_names(addresses, resolver if rules.reverse_dns else None))
    networks = _networks(addresses, rules.networks) if rules.networks else [""] * len(addresses)
    rows = [
        (
            address,
            name.host,
            name.domain,
            network,
            now,
            now + (_KEPT if name.answered else _KEPT_WITHOUT_ANSWER),
        )
        for address, name, network in zip(addresses, names, networks, strict=True)
    ]
    client.insert(
        "sender_names",
        rows,
        column_names=("source_ip", "host", "domain", "network", "looked_up_at", "expires_at"),
        database=config.clickhouse.tables_database,
    )
    sources_changed(client, config, addresses, since=now.date() - _SINCE)
    log.info("named sources", addresses=len(rows), named=sum(bool(row[2] or row[3]) for row in rows))
    return _BUSY


async def _names(addresses: list[IPv6Address], resolver: Resolver | None) -> list[Name]:
    room = asyncio.Semaphore(_AT_ONCE)

    async def name(address: IPv6Address) -> Name:
        async with room:
            return await confirmed_name(address.ipv4_mapped or address, resolver) if resolver else Name()

    return await asyncio.gather(*map(name, addresses))


async def confirmed_name(address: IPv4Address | IPv6Address, resolver: Resolver) -> Name:
    """The first reverse name of an address that leads back to it."""
    answer = await resolver.lookup(from_address(str(address)).to_text(), "PTR")
    answered = answer.status is not Status.FAILED
    for record in answer.records[:_REVERSE_NAMES]:
        host = _host(record)
        if not host:
            continue
        forward = await resolver.addresses(host)
        answered = answered and forward.status is not Status.FAILED
        if address in {ip_address(text) for text in forward.records}:
            return Name(host=host, domain=organizational_domain(host))
    return Name(answered=answered)


def _host(record: Any) -> str:
    """A host name, or nothing: what a reverse zone holds is as its owner likes."""
    try:
        text = record.target.to_text(omit_final_dot=True)
    except (AttributeError, DNSException):
        return ""
    host = normalize(text) or ""
    return host if "." in host and not host.rpartition(".")[2].isdigit() else ""


def _networks(addresses: list[IPv6Address], file: Path) -> list[str]:
    """Who runs the network of each address, as an MMDB file calls it; empty where it does not know.

    Raises ProblemError if the file cannot be read.
    """
    import maxminddb  # noqa: PLC0415  few have such a file; all our processes would load its reader

    try:
        with maxminddb.open_database(file) as database:
            return [_operator(database.get(address.ipv4_mapped or address)) for address in addresses]
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise ProblemError(f"source_names.networks: {file} cannot be read as an MMDB file: {error}") from error


def _operator(found: object) -> str:
    """In whichever field it is: they differ from file to file."""
    values = found if isinstance(found, dict) else {}
    names = (values.get(field) for field in _OPERATOR)
    return next((clean(name, _NAME_LENGTH) for name in names if isinstance(name, str)), "")


def _unnamed(client: Client, config: Config, now: datetime) -> list[IPv6Address]:
    """The addresses with most messages of the last month that have no name yet, or an expired one."""
    tables = config.clickhouse.tables_database
    rows = client.query(
        "SELECT source_ip FROM"
        f" (SELECT source_ip, sum(messages) AS sent FROM {tables}.dmarc_records"
        "   WHERE day >= {start:Date} AND source_ip != toIPv6('::')"
        f"  GROUP BY source_ip ORDER BY sent DESC, source_ip LIMIT {_MOST})"
        f" WHERE source_ip NOT IN (SELECT source_ip FROM {tables}.sender_names FINAL"
        "   WHERE expires_at > {now:DateTime})"
        f" ORDER BY sent DESC, source_ip LIMIT {_ROUND}",
        parameters={"start": now.date() - _SINCE, "now": now},
    ).result_rows
    return [IPv6Address(address) for (address,) in rows]


def _forget(client: Client, config: Config, now: datetime) -> None:
    """Delete names of addresses that have sent nothing for long, so that forgers do not fill the table."""
    table = f"{config.clickhouse.tables_database}.sender_names"
    long_ago = {"before": now - _FORGOTTEN}
    ((old,),) = client.query(
        f"SELECT count() FROM {table} WHERE expires_at < {{before:DateTime}}", long_ago
    ).result_rows
    if old:
        client.command(f"DELETE FROM {table} WHERE expires_at < {{before:DateTime}}", long_ago)
