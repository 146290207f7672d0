"""Acknowledged causes: known, or not ours, until a day, with the reason.

It is stored in ClickHouse, where the view `attention` finds it: by `mailposture acknowledge`, or as the configuration
says.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from mailposture.clickhouse.reference import ReferenceTable, add_rows, known_rows
from mailposture.domain_names import normalize_typed
from mailposture.quoting import quoted
from reports.causes import CAUSES, About

if TYPE_CHECKING:
    from datetime import date

    from clickhouse_connect.driver import Client

    from mailposture.clickhouse.reference import Row
    from mailposture.config.model import Config

_TABLE: Final = ReferenceTable(
    "acknowledged_causes", ("policy_domain", "cause", "subject", "origin", "until", "because", "active")
)
BY_COMMAND, _BY_CONFIGURATION = "command", "configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A cause of a domain that alerts nobody until a day."""

    policy_domain: str
    cause: str
    subject: str  # empty: wherever it is
    until: date  # from that day on it counts again
    because: str
    origin: str = BY_COMMAND


def check_acknowledgeable(cause: str, subject: str) -> None:
    """Whether there can be such a cause of such a subject (empty: wherever it is); else ValueError says why not."""
    if cause not in CAUSES:
        near = get_close_matches(cause, CAUSES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(CAUSES)}"
        raise ValueError(f"{quoted(cause)} is no cause; {hint}")
    about = CAUSES[cause].about
    if not subject:
        return
    if about is About.DOMAIN:
        raise ValueError(f"{cause} is about the whole domain: take out {quoted(subject)}")
    if about in {About.SERVER, About.SENDER} and subject != (name := normalize_typed(subject)):
        better = f"; write {name}" if name else f"; a domain name is needed, for {cause} is about {about}"
        raise ValueError(f"{quoted(subject)} is no name as in `mailposture summary`{better}")


def acknowledge(client: Client, config: Config, known: Acknowledgement) -> None:
    """Store it; of the same cause and subject the last one counts. As the collector's SQL user."""
    add_rows(client, config, _TABLE, {_row(known)})


def withdraw(client: Client, config: Config, known: Acknowledgement) -> None:
    """Take back what was stored by the command."""
    add_rows(client, config, _TABLE, {(*_row(known)[:-1], False)})


def acknowledgements(client: Client) -> list[Acknowledgement]:
    """All that have not been withdrawn, those that are over too."""
    rows = client.query(
        "SELECT policy_domain, cause, subject, until, because, origin FROM acknowledgements"
        " ORDER BY until, policy_domain, cause, subject, origin"
    ).result_rows
    return [
        Acknowledgement(
            policy_domain=policy_domain, cause=cause, subject=subject, until=until, because=because, origin=origin
        )
        for policy_domain, cause, subject, until, because, origin in rows
    ]


def write_acknowledgements(client: Client, config: Config) -> None:
    """Make the table say what the configuration says; what left it is withdrawn."""
    wanted: set[Row] = set()
    for domain in config.domains:
        for known in domain.acknowledged:
            wanted.add(
                _row(
                    Acknowledgement(
                        policy_domain=domain.name,
                        cause=known.cause,
                        subject=known.subject,
                        until=known.until,
                        because=known.because,
                        origin=_BY_CONFIGURATION,
                    )
                )
            )
    stored = {row for row in known_rows(client, config, _TABLE) if row[3] == _BY_CONFIGURATION}
    named = {row[:4] for row in wanted}
    left: set[Row] = {(*row[:-1], False) for row in stored if row[:4] not in named}
    add_rows(client, config, _TABLE, (wanted | left) - stored)


def _row(known: Acknowledgement) -> Row:
    return (known.policy_domain, known.cause, known.subject, known.origin, known.until, known.because, True)
