"""What SPF records list, on its way to ClickHouse: evidence of which addresses are of senders of ours."""

from __future__ import annotations

from datetime import UTC, date, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mailposture.spf_networks import SpfNetwork

log = structlog.get_logger()

_TABLE = "spf_networks"
_COLUMNS = ("policy_domain", "first_ip", "last_ip", "via", "first_day", "last_day")


def _today() -> date:
    return datetime.now(UTC).date()


class ListedNetworks:
    """Each record once a day, and when it changes. wanted() and note() in the thread of the probes, write() in another.

    Of a domain only the newest list waits while ClickHouse does not answer.
    """

    def __init__(self, *, today: Callable[[], date] = _today) -> None:
        self._today = today
        self._noted: dict[str, tuple[date, str]] = {}
        self._waiting: dict[str, list[tuple[Any, ...]]] = {}

    def wanted(self, domain: str, record: str) -> bool:
        """Whether the record that a domain publishes is to be read to its end."""
        return bool(record) and self._noted.get(domain) != (self._today(), record)

    def note(self, domain: str, record: str, networks: Sequence[SpfNetwork]) -> None:
        """Take in what a record lists."""
        day = self._today()
        self._noted[domain] = day, record
        if networks:
            self._waiting[domain] = [
                (domain, _mapped(network[0]), _mapped(network[-1]), list(via), day, day) for network, via in networks
            ]

    def write(self, insert: Callable[[str, Sequence[Sequence[Any]], Sequence[str]], None]) -> None:
        """Write what waits; on failure it keeps waiting. A row that is written twice counts once."""
        waiting = dict(self._waiting)
        if not waiting:
            return
        try:
            insert(_TABLE, [row for rows in waiting.values() for row in rows], _COLUMNS)
        except Exception as error:  # whatever it is, the next attempt must come
            log.warning("networks of SPF records not written", error=str(error)[:300], domains=len(waiting))
            return
        for domain, rows in waiting.items():
            if self._waiting.get(domain) is rows:
                del self._waiting[domain]


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")
