"""Who reports about mail from the demo's domains: four of the organizations that report about TLS too.

Small ones see a message of a domain now and then, so they report about some days only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from demo.domains import DOMAINS, PARKED
from demo.senders import SENDERS

if TYPE_CHECKING:
    from demo.domains import DemoDomain
    from demo.senders import Sender


class DmarcStyle(StrEnum):
    """Whose habits a reporter's DMARC reports have."""

    GOOGLE = "google"  # RFC 7489; the XML in a zip, which is all of the mail; no envelope_from
    MICROSOFT = "microsoft"  # RFC 7489; every field, and the namespaces of XML Schema
    YAHOO = "yahoo"  # RFC 7489; a tab at the end of each line, several DKIM results, no sp, no envelope_from
    STALWART = "stalwart"  # RFC 9990: its namespace, no pct, disposition `pass`, human_result


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """An organization that receives mail from the demo's domains, and reports."""

    organization: str  # org_name; often a product or a domain
    sender: Sender  # the same organization as a sender of mail, whose key signs its reports
    mailbox: str
    subdomain: str = ""  # that it mails its reports from
    style: DmarcStyle
    share: float  # of the mail that Northwind, the largest, gets
    every: int  # so many days for one with mail from a domain

    @property
    def mail_domain(self) -> str:
        return f"{self.subdomain}{self.sender.domain}"

    @property
    def contact(self) -> str:
        """The address that the reports come from."""
        return f"{self.mailbox}@{self.mail_domain}"

    def reports(self, domain: DemoDomain, days_ago: int) -> bool:
        """Whether it got mail from a domain on a day."""
        return (days_ago + (*DOMAINS, *PARKED).index(domain)) % self.every == 0


_BY_DOMAIN: Final = {sender.domain: sender for sender in SENDERS}

REPORTERS: Final[tuple[Reporter, ...]] = (
    Reporter(
        organization="northwind.example",
        sender=_BY_DOMAIN["northwind.example"],
        mailbox="noreply-dmarc-support",
        style=DmarcStyle.GOOGLE,
        share=1,
        every=1,
    ),
    Reporter(
        organization="Enterprise Bluebird",
        sender=_BY_DOMAIN["bluebird.example"],
        mailbox="dmarcreport",
        style=DmarcStyle.MICROSOFT,
        share=0.2,
        every=3,
    ),
    Reporter(
        organization="Kestrel",
        sender=_BY_DOMAIN["kestrel.example"],
        mailbox="noreply",
        subdomain="dmarc.",
        style=DmarcStyle.YAHOO,
        share=0.1,
        every=7,
    ),
    Reporter(
        organization="Pocket Mail (demo)",
        sender=_BY_DOMAIN["pocket.example"],
        mailbox="postmaster",
        style=DmarcStyle.STALWART,
        share=0.05,
        every=11,
    ),
)
