"""What the configuration may say about the weekly digest: to whom, when, and by which mail server."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mailposture.config.section import Section
from mailposture.config.values import MailAddress, MailTls, Team, WebUrl, is_this_machine


class Weekday(IntEnum):
    """As datetime.date.weekday() numbers them."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


def _weekday(value: object) -> object:
    found = {day.name.lower(): day for day in Weekday}.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None and not isinstance(value, Weekday):
        raise ValueError("must be a day of the week, such as monday")
    return found if found is not None else value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is not a time zone such as Europe/Berlin") from None
    return value


class DigestSmtp(Section):
    """The mail server that takes digests (a smarthost, by submission: RFC 6409)."""

    host: str = Field(min_length=1)
    tls: MailTls = "starttls"
    port: int = Field(
        default_factory=lambda known: {True: 465, "starttls": 587, False: 25}[known.get("tls", "starttls")],
        ge=1,
        le=65535,
    )
    certificate_authority: Path | None = None  # instead of the system's roots
    user: str = ""
    password_file: Path | None = None

    @model_validator(mode="after")
    def _authenticates_with_both(self) -> Self:
        if bool(self.user) != (self.password_file is not None):
            raise ValueError("give both user and password_file, or neither")
        if self.user and self.tls is False and not is_this_machine(self.host):
            raise ValueError(
                f"tls: false sends the password to {self.host} in the clear; use `tls: starttls` or `tls: true`"
            )
        return self


class Digest(Section):
    """The weekly digest. The exporter mails it."""

    sender: MailAddress
    recipients: tuple[MailAddress, ...] = ()  # get the digest of all domains
    teams: dict[Team, Annotated[tuple[MailAddress, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )  # get that of their domains
    day: Annotated[Weekday, BeforeValidator(_weekday)] = Weekday.MONDAY
    hour: int = Field(default=8, ge=0, le=23)
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    grafana_url: WebUrl | None = None  # where links lead; without it there are none
    smtp: DigestSmtp

    @model_validator(mode="after")
    def _goes_to_somebody(self) -> Self:
        if not (self.recipients or self.teams):
            raise ValueError("goes to nobody; list `recipients`, or those of a team under `teams`")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)
