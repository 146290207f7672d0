"""What is held, as a person chooses among it: by reason, by the domain it is about, by who says that it reports."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import structlog

from collector.alignment import is_by, same_organization
from collector.documents.message import open_message
from collector.spool import NotHeldError
from mailposture.ownership import Ownership
from reports.reading import read_reports
from reports.rejection import RejectedError
from reports.reporter import reporter_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.spool import HeldMessage, HeldMessages, HeldState
    from mailposture.config.model import Config
    from reports.envelope import Envelope

log = structlog.get_logger()

_ALL = 1_000_000  # far more than spool.held_size has room for


class About(NamedTuple):
    """What the reports in a message say; nothing proves it."""

    kinds: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()  # of ours
    reporters: tuple[str, ...] = ()  # organizational domains of their contacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which held messages are meant; what is empty does not matter."""

    state: HeldState | None = None
    reason: str = ""
    domain: str = ""  # of ours, that a report in it is about
    reporter: str = ""  # its author's domain or above that, or of a contact in its reports

    def of(self, held: HeldMessages, config: Config) -> Iterator[HeldMessage]:
        """Those of the messages that are meant, the newest first."""
        ownership = Ownership(config)
        for message in held.list(self.state, limit=_ALL):
            if self.reason in ("", message.reason) and self._is_meant(held, message, ownership):
                yield message

    def _is_meant(self, held: HeldMessages, message: HeldMessage, ownership: Ownership) -> bool:
        if not (self.domain or self.reporter):
            return True
        with suppress(NotHeldError):  # it had to make room meanwhile
            _, body = held.get(message.id)
            says = about(message.envelope, body, ownership)
            reporter = not self.reporter or is_by((self.reporter,), body) or _is_among(self.reporter, says.reporters)
            return reporter and self.domain in ("", *says.domains)
        return False


def _is_among(reporter: str, domains: tuple[str, ...]) -> bool:
    return any(same_organization(reporter, domain) for domain in domains)


def about(envelope: Envelope, body: bytes, ownership: Ownership) -> About:
    """What the reports in a message say, as far as they can be read."""
    try:
        opened = open_message(body, as_mail=envelope.source.is_mail)
        reports, _ = read_reports(opened)
    except RejectedError:
        return About()
    except Exception:  # what is held is untrusted: a fault of ours with it must not stop the others
        log.exception("a held message could not be read; please report this with its bytes")
        return About()
    domains: set[str] = set()
    for kind, report in reports:
        with suppress(RejectedError):
            domains |= set(kind.attribute(report, opened, envelope, ownership).domains)
    claimed = {reporter_of(signer="", contact=each.contact, organization=each.organization) for _, each in reports}
    return About(
        kinds=tuple(sorted({kind.name for kind, _ in reports})),
        domains=tuple(sorted(domains)),
        reporters=tuple(sorted({reporter.domain for reporter in claimed} - {""})),
    )
