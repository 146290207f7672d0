"""What the configuration may say about a domain of ours."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from ipaddress import IPv6Network
from typing import Final, Self

from pydantic import Field, ValidationInfo, model_validator

from mailposture.config.section import Section
from mailposture.config.values import Cause, DomainName, Duration, Label, MailDomain, MxPattern, Network, Team, Token
from mailposture.domain_names import organizational_domain

_WIDEST: Final = {4: 8, 6: 16}  # prefixes of networks, by version: no organization has wider ones
_MAPPED: Final = IPv6Network("::ffff:0:0/96")  # IPv4 addresses (RFC 4291, section 2.5.5.2)


class PolicyMode(StrEnum):
    """The modes of an MTA-STS policy (RFC 8461, section 5)."""

    ENFORCE = "enforce"
    TESTING = "testing"
    NONE = "none"


class MtaStsPolicy(Section):
    """The MTA-STS policy that we host for a domain (RFC 8461, section 3.2)."""

    mode: PolicyMode = PolicyMode.TESTING
    mx: tuple[MxPattern, ...] = ()
    max_age: int = Field(default=1_209_600, ge=0, le=31_557_600, description="seconds; weeks are advised")


class Thresholds(Section):
    """When a domain's failures deserve attention; exported as metrics, so the alert rules compare against them."""

    failure_ratio: float = Field(default=0.05, ge=0, le=1)
    minimum_sessions: int = Field(default=20, ge=0)
    stale_after: Duration = timedelta(days=3)
    certificate_expiry: Duration = timedelta(days=14)


ACKNOWLEDGEABLE: Final = "acknowledgeable"
"""In the context of a validation: what raises ValueError for a cause and subject that there cannot be."""


class Acknowledgement(Section):
    """A cause that needs attention and is known, or not ours: it alerts nobody until a day."""

    cause: Cause
    subject: str = ""  # the server, sender or record; all of them if empty
    until: date  # from that day on it counts again
    because: str = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be(self, info: ValidationInfo) -> Self:
        check = (info.context or {}).get(ACKNOWLEDGEABLE)
        if check is not None:
            check(self.cause, self.subject)
        return self


class Sender(Section):
    """A sender of ours, whose mail is ours also where it fails DMARC: by its addresses, domains or services."""

    name: Label  # that its mail is shown under
    addresses: tuple[Network, ...] = ()
    domains: tuple[DomainName, ...] = ()  # that its mail passes SPF or DKIM for, or above these
    services: tuple[Label, ...] = ()  # names of the catalogue, as `mailposture explain senders` lists them

    @model_validator(mode="after")
    def _says_which_mail(self) -> Self:
        if not (self.addresses or self.domains or self.services):
            raise ValueError(
                f"{self.name} has no `addresses`, `domains` or `services`, so no mail is from it; give one"
            )
        return self

    @model_validator(mode="after")
    def _has_domains_of_one_organization(self) -> Self:
        for name in self.domains:
            if not organizational_domain(name):
                raise ValueError(
                    f"{self.name}: anybody can have a domain below {name}: forgeries would be taken for yours"
                )
        return self

    @model_validator(mode="after")
    def _has_networks_of_one_organization(self) -> Self:
        """Whoever names all addresses calls every forgery his own mail."""
        for network in self.addresses:
            widest = _WIDEST[network.version]
            if network.prefixlen < widest:
                raise ValueError(f"{self.name}: {network} is wider than /{widest}: forgeries would be taken for yours")
            if isinstance(network, IPv6Network) and network.overlaps(_MAPPED):
                raise ValueError(f"{self.name}: {network} has IPv4 addresses in it; write them as such: 192.0.2.0/24")
        return self


class Domain(Section):
    """A domain that receives mail, and is ours: only reports about such domains are kept."""

    name: MailDomain
    mx: tuple[MxPattern, ...] = ()  # the hosts that receive for it; DANE reports name these instead of the domain
    team: Team = "mail"
    token: Token | None = None  # part of the path for reports by HTTPS; no secret, since the path is in public DNS
    # true: what is posted there starts and ends alerts. Nothing proves a post: whoever reads the record can then page
    # you, or end a page, in anybody's name. For domains that receive by HTTPS only.
    posts_count: bool = False
    thresholds: Thresholds = Thresholds()
    mta_sts: MtaStsPolicy | None = None
    parked: bool = False  # neither takes nor sends mail
    acknowledged: tuple[Acknowledgement, ...] = ()
    senders: tuple[Sender, ...] = ()  # that send mail in the domain's name

    @model_validator(mode="after")
    def _parked_takes_no_mail(self) -> Self:
        """A policy of mode none may stay: it is how one is withdrawn (RFC 8461, section 8.3)."""
        if self.parked and (self.mx or (self.mta_sts and self.mta_sts.mode is not PolicyMode.NONE)):
            key = "mx" if self.mx else f"mta_sts.mode: {self.mta_sts.mode if self.mta_sts else ''}"
            raise ValueError(f"{self.name} is parked, so it takes no mail; take out {key}, or parked")
        return self

    @model_validator(mode="after")
    def _parked_sends_no_mail(self) -> Self:
        if self.parked and self.senders:
            raise ValueError(f"{self.name} is parked, so nobody sends mail in its name; take out senders, or parked")
        return self
