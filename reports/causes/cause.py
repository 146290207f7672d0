"""What a cause is."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Severity(StrEnum):
    """How bad it is by its nature; how many sessions it hits is for the thresholds to judge."""

    CRITICAL = "critical"  # mail is refused where encryption is enforced, or sent in plaintext where it is not
    WARNING = "warning"  # mail is delivered late or with less protection
    INFO = "info"


def worst_first(severity: str = "severity") -> str:
    """SQL to order rows by, from a column of severities."""
    return f"indexOf({[each.value for each in Severity]}, {severity})"


class About(StrEnum):
    """What the subject of a cause is."""

    DOMAIN = "the whole domain"  # no subject
    SERVER = "a receiving server"
    SENDER = "a sender"
    RECORD = "a DNS record"
    SOURCE = "a source of mail"  # as in dmarc_sources_daily


class Cause(NamedTuple):
    """A cause and what we say about it. The view gives a severity of its own where a policy decides it."""

    term: str
    severity: Severity
    title: str
    explanation: str
    action: str
    about: About = About.DOMAIN
