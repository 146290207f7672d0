"""The organizations whose servers send mail to the demo domains, and reports about it."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Style(StrEnum):
    """Whose habits a sender's reports have; every one of them deviates from RFC 8460 in its own way."""

    GOOGLE = "google"
    MICROSOFT = "microsoft"
    REPORTER = "tlsrpt-reporter"  # Postfix with sys4's tlsrpt-reporter
    MOX = "mox"
    STALWART = "stalwart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """An organization that sends mail, and reports."""

    organization: str
    domain: str  # signs the reports
    style: Style
    share: float  # of the sessions that a domain gets
    networks: tuple[str, ...]  # of its sending servers: the first three bytes of /24 networks
    sts: bool = False  # honours MTA-STS
    dane: bool = False  # honours DANE
    rhythm: tuple[float, ...] = (
        1.05,
        1.1,
        1.1,
        1.05,
        1.0,
        1.0,
        1.0,
    )  # Monday to Sunday; domains have their own weekends
    every_domain_in_one_report: bool = False

    @property
    def contact(self) -> str:
        """The address that the reports come from."""
        return f"tls-reports@{self.domain}"

    def sending_ip(self, network: str, chance: random.Random) -> str:
        """The address of one of its servers in a network."""
        return f"{network}.{chance.choice((11, 12, 13, 27, 28, 40))}"


SENDERS: Final[tuple[Sender, ...]] = (
    Sender(
        organization="Northwind Mail (demo)",
        domain="northwind.example",
        style=Style.GOOGLE,
        share=0.41,
        networks=("198.18.10", "198.18.11", "198.18.12"),
        sts=True,
    ),
    Sender(
        organization="Bluebird Cloud (demo)",
        domain="bluebird.example",
        style=Style.MICROSOFT,
        share=0.25,
        networks=("198.18.20", "198.18.21"),
        sts=True,
        dane=True,
    ),
    Sender(
        organization="Lumen Newsletters (demo)",
        domain="lumen.example",
        style=Style.REPORTER,
        share=0.1,
        networks=("198.18.30",),
        sts=True,
        rhythm=(0.3, 2.4, 0.4, 2.2, 0.5, 0.1, 0.1),
    ),
    Sender(
        organization="Tannenwald Post (demo)",
        domain="tannenwald.example",
        style=Style.REPORTER,
        share=0.06,
        networks=("198.18.40",),
        sts=True,
        dane=True,
    ),
    Sender(
        organization="Harbor Telecom (demo)",
        domain="harbor.example",
        style=Style.REPORTER,
        share=0.05,
        networks=("198.18.50", "198.18.51"),
        sts=True,
    ),
    Sender(
        organization="Kestrel Webmail (demo)",
        domain="kestrel.example",
        style=Style.MOX,
        share=0.05,
        networks=("198.18.60",),
        sts=True,
        dane=True,
    ),
    Sender(
        organization="Postillion Hosting (demo)",
        domain="postillion.example",
        style=Style.REPORTER,
        share=0.03,
        networks=("198.18.70",),
        dane=True,
    ),
    Sender(
        organization="Meridian Airlines (demo)",
        domain="meridian.example",
        style=Style.MICROSOFT,
        share=0.02,
        networks=("198.18.80",),
        sts=True,
    ),
    Sender(
        organization="Cedar Hospital Group (demo)",
        domain="cedar.example",
        style=Style.GOOGLE,
        share=0.012,
        networks=("198.18.90",),
        sts=True,
    ),
    Sender(
        organization="Ostrava Polytechnic (demo)",
        domain="ostrava.example",
        style=Style.REPORTER,
        share=0.008,
        networks=("198.18.100",),
        dane=True,
        rhythm=(1.1, 1.2, 1.2, 1.1, 0.9, 0.2, 0.2),
    ),
    Sender(
        organization="Alder & Finch Law (demo)",
        domain="alderfinch.example",
        style=Style.MOX,
        share=0.004,
        networks=("198.18.110",),
        sts=True,
        rhythm=(1.2, 1.2, 1.1, 1.1, 1.0, 0.1, 0.0),
    ),
    Sender(
        organization="Pocket Mail (demo)",
        domain="pocket.example",
        style=Style.STALWART,
        share=0.003,
        networks=("198.18.120",),
        sts=True,
        every_domain_in_one_report=True,
    ),
)
