"""Services that people send mail with, known by the domains that they authenticate as: catalogue.yaml.

Such a domain is proven by SPF or DKIM, which an address or a reverse name is not. What a service is decides what its
domain says about a message that fails DMARC in our name: of a mail platform anybody can be a customer, a mailbox
provider forwards mail of others too.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

_Network: TypeAlias = IPv4Network | IPv6Network
_FILE: Final = Path(__file__).with_suffix(".yaml")


class ServiceKind(StrEnum):
    """What a service is. In this order the first is named where a message is authenticated by several."""

    APPLICATION = "application"  # mails beside its main business: help desk, shop, invoices
    MARKETING = "marketing"  # newsletters and campaigns
    PLATFORM = "platform"  # programs send through it
    GATEWAY = "gateway"  # passes on and filters mail of others
    MAILBOX = "mailbox"
    HOSTING = "hosting"

    @property
    def shared(self) -> bool:
        """Whether anybody who has an account can send in any name, so that one customer says nothing about the next."""
        return self in {ServiceKind.PLATFORM, ServiceKind.GATEWAY, ServiceKind.MAILBOX, ServiceKind.HOSTING}

    @property
    def forwards(self) -> bool:
        """Whether it passes on mail of others, and may then authenticate it as its own."""
        return self in {ServiceKind.GATEWAY, ServiceKind.MAILBOX, ServiceKind.HOSTING}


class Service(BaseModel):
    """A service, and how it is made to authenticate as a domain of ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: ServiceKind
    domains: tuple[str, ...]  # it authenticates as these, or as names below them
    tenants: tuple[str, ...] = ()  # of these each name below is one customer's
    networks: tuple[_Network, ...] = ()  # published in its SPF record
    settings: str = ""  # where in it a domain is set up
    dkim: str = ""  # the records that it gives to publish: CNAME or TXT; empty if it cannot sign for a domain of ours
    return_path: bool = False  # whether MAIL FROM can be of a domain of ours

    @property
    def action(self) -> str:
        """What to do, so that its mail is aligned."""
        if not self.dkim and not self.return_path:
            return (
                f"{self.name} cannot sign for a domain of yours. Send such mail through a server or service that can, "
                "or from an address at its domain."
            )
        where = f"In {self.name} ({self.settings})" if self.settings else f"In {self.name}"
        dkim = f" authenticate the domain: it shows {self.dkim} records; publish them, so that DKIM is aligned."
        path = (
            " Set its return path (MAIL FROM) to a subdomain of yours and publish the records for it, so that SPF is "
            "aligned."
        )
        own = " Its return path stays its own, so SPF cannot be aligned: DKIM is enough."
        return where + (dkim if self.dkim else "") + (path if self.return_path else own)


@cache
def services() -> tuple[Service, ...]:
    """The catalogue: kinds in their order, then as in the file."""
    read = TypeAdapter(tuple[Service, ...]).validate_python(yaml.safe_load(_FILE.read_text(encoding="utf-8")))
    order = list(ServiceKind)
    return tuple(sorted(read, key=lambda service: order.index(service.kind)))


def service_named(name: str) -> Service | None:
    """A service by its name, whatever the case."""
    return next((service for service in services() if service.name.casefold() == name.casefold()), None)
