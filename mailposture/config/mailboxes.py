"""What the configuration may say about the mailboxes that reports are read from."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from mailposture.config.section import Section
from mailposture.config.values import AuthservId, HttpsUrl, MailAddress, MailTls, Wait, as_mail_address, is_this_machine

KIND: Final = "{kind}"  # in `processed`: the kind of the report


class OAuth(Section):
    """How to get access tokens (RFC 6749): as the application itself, or with the refresh token of a user's consent."""

    token_url: HttpsUrl
    client_id: str = Field(min_length=1)
    client_secret_file: Path | None = None
    refresh_token_file: Path | None = None  # without one: the application's own credentials (RFC 6749, section 4.4)
    scope: str = ""
    certificate_authority: Path | None = None  # of token_url, instead of the system's roots

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        if self.client_secret_file is None and self.refresh_token_file is None:
            raise ValueError("needs client_secret_file, refresh_token_file, or both")
        return self


class Mailbox(Section):
    """One folder of a mailbox. Mails move only once the spool has them; whatever holds no report is left alone."""

    folder: str = Field(default="INBOX", min_length=1)
    address: MailAddress | None = None  # that reports are mailed to; by default `user`, where that is an address
    processed: Annotated[str, Field(min_length=1)] | None = (
        "mailposture/processed"  # may hold {kind}; null: reports stay too, and nothing is written
    )
    poll: Wait = timedelta(minutes=5)
    trusted: bool = False  # true: the mailbox's own server has checked DKIM, accept what is in it
    # What that server writes at the beginning of Authentication-Results; empty where it writes no name, as Exchange
    # Online: its dkim=pass counts where it has rebuilt a mail, so that the signature does not fit any more.
    authserv_id: AuthservId | None = None

    @model_validator(mode="after")
    def _moves_somewhere_else(self) -> Self:
        """A mail that moves to where it is comes back as a new one, for ever."""
        moved = re.escape(self.processed or "").replace(re.escape(KIND), "[a-z]+")
        if self.processed and re.fullmatch(moved, self.folder, re.IGNORECASE):
            raise ValueError(
                f"folder and processed are both {self.folder!r}; name another folder in `processed`, where reports go "
                "once they are read, or `processed: null` if they are to stay"
            )
        return self

    @property
    def report_address(self) -> str:
        """The address that reports are mailed to; empty where nothing says it."""
        return self.address or ""

    def processed_folder(self, kind: str) -> str:
        """Where reports of a kind go; empty if they stay."""
        return (self.processed or "").replace(KIND, kind)


class ImapMailbox(Mailbox):
    """A mailbox to read reports from by IMAP."""

    host: str
    tls: MailTls = True
    port: int = Field(default_factory=lambda known: 993 if known.get("tls") is True else 143, ge=1, le=65535)
    certificate_authority: Path | None = None  # instead of the system's roots
    user: str
    password_file: Path | None = None
    oauth: OAuth | None = None  # instead of a password
    cleartext_password: bool = False  # true: with `tls: false`, send it through the network for everybody to read

    @property
    def name(self) -> str:
        """As logs and metrics call it."""
        port = "" if self.port == (993 if self.tls is True else 143) else f":{self.port}"
        return f"{self.user} at {self.host}{port}, {self.folder}"

    @property
    def report_address(self) -> str:
        """The address that reports are mailed to; empty where nothing says it."""
        return self.address or as_mail_address(self.user)

    @model_validator(mode="after")
    def _logs_in_in_one_way(self) -> Self:
        if (self.password_file is None) == (self.oauth is None):
            raise ValueError(f"{self.user} at {self.host} needs either password_file or oauth")
        return self

    @model_validator(mode="after")
    def _hides_the_password(self) -> Self:
        if self.tls is False and not (self.cleartext_password or is_this_machine(self.host)):
            raise ValueError(
                f"tls: false sends the password to {self.host} in the clear; use `tls: true` or `tls: starttls`, or "
                "say `cleartext_password: true` if that is what you want"
            )
        return self


class GraphMailbox(Mailbox):
    """A mailbox at Microsoft 365 to read reports from by Microsoft Graph, where IMAP is switched off."""

    user: str
    oauth: OAuth
    url: HttpsUrl = "https://graph.microsoft.com/v1.0"  # of a national cloud, another
    certificate_authority: Path | None = None  # instead of the system's roots

    @property
    def name(self) -> str:
        """As logs and metrics call it."""
        return f"{self.user} by Microsoft Graph, {self.folder}"

    @property
    def report_address(self) -> str:
        """The address that reports are mailed to; empty where nothing says it."""
        return self.address or as_mail_address(self.user)


class Maildir(Mailbox):
    """A Maildir on this machine to read reports from."""

    path: Path
    poll: Wait = timedelta(seconds=10)

    @property
    def name(self) -> str:
        """As logs and metrics call it."""
        return f"Maildir {self.path}, {self.folder}"
