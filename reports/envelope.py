"""What a source knows about bytes it received, before anybody looks inside them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Source(StrEnum):
    """Where bytes came from. Whatever follows from that is a property here, and asked for as that."""

    SMTP = "smtp"
    LMTP = "lmtp"
    HTTPS = "https"
    IMAP = "imap"
    GRAPH = "graph"
    MAILDIR = "maildir"
    FILE = "file"

    @property
    def is_mail(self) -> bool:
        """Whether what comes from there is always a mail, whatever its first bytes look like."""
        return self in (Source.SMTP, Source.LMTP) or self.is_mailbox

    @property
    def shows_sender(self) -> bool:
        """Whether its client may be the sender's own server, so that SPF says something: not behind another MTA."""
        return self is Source.SMTP

    @property
    def is_mailbox(self) -> bool:
        """Whether we found it in a mailbox: nothing is known of the client that brought it there."""
        return self in (Source.IMAP, Source.GRAPH, Source.MAILDIR)

    @property
    def is_post(self) -> bool:
        """Whether it was posted to a domain's secret path, which stands in a public record, and names no author."""
        return self is Source.HTTPS

    @property
    def is_file(self) -> bool:
        """Whether it lies in a file, and stays there; its name is a path."""
        return self is Source.FILE

    @property
    def comes_when_sent(self) -> bool:
        """Whether its delay says something: files are imported whenever somebody likes."""
        return not self.is_file


class Trust(StrEnum):
    """Why a report is trusted, from the strongest reason to none."""

    DKIM = "dkim"  # a valid signature of the reporting domain (RFC 8460, section 3)
    AUTHSERV = "authserv"  # the mailbox's named server has verified DKIM, as its Authentication-Results say (RFC 8601)
    SPF = "spf"  # a DMARC report that came from a server of the reporting domain (RFC 9990)
    OPERATOR = "operator"  # imported or released by hand
    MAILBOX = "mailbox"  # read from a mailbox whose server checks signatures, as the configuration says
    TOKEN = "token"  # noqa: S105  posted to the domain's secret path
    AUTHOR = "author"  # a DMARC report whose author's domain an operator accepts, though nothing proves it
    NONE = "none"

    @property
    def rank(self) -> int:
        """Higher means more trust; of two copies of one report the more trusted is kept. 1 proves nothing."""
        return {"none": 0, "token": 1, "author": 1, "mailbox": 2, "operator": 3, "spf": 4, "authserv": 4, "dkim": 5}[
            self.value
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What is known from outside the content."""

    source: Source
    received_at: datetime  # when we accepted it; UTC, aware
    delivered_at: datetime | None = None  # when the mailbox accepted it that we found it in; UTC, aware
    name: str = ""  # what a person would look for: file path, mailbox and UID, queue id
    peer: str = ""  # IP address of the client
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    token_domain: str = ""  # HTTPS: the domain whose secret path was used
    by_operator: bool = False  # accepted by an operator: import, release
    authserv_id: str | None = (
        None  # of the mailbox's server, whose Authentication-Results count; see collector/authserv
    )
    from_trusted_mailbox: bool = False  # nobody looked at it, but the configuration trusts the mailbox it was in

    @property
    def is_for_postmaster(self) -> bool:
        """Whether it was sent to the postmaster alone (RFC 5321, section 4.5.1), not to an address for reports."""
        names = {recipient.partition("@")[0].lower() for recipient in self.recipients}
        return self.source.is_mail and names == {"postmaster"}

    @property
    def accepted_at(self) -> datetime:
        """When it came, whenever we read it: what counts for signatures, delay and freshness."""
        return self.delivered_at or self.received_at
