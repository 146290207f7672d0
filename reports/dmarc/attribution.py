"""Which domain of ours a DMARC report is about: the one whose policy was applied, or that lies above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mailposture.quoting import quoted
from reports.rejection import Reason, RejectedError

if TYPE_CHECKING:
    from mailposture.ownership import Ownership
    from reports.dmarc.decode import DmarcReport
    from reports.document import Opened
    from reports.envelope import Envelope
    from reports.rows import Rows


class Attribution(NamedTuple):
    """What of a report is ours: all of it."""

    domains: tuple[str, ...]  # exactly one


def attribute(report: DmarcReport, _opened: Opened, _envelope: Envelope, ownership: Ownership) -> Attribution:
    """Find the domain of ours. Raises RejectedError if the report is about another.

    A subdomain with a policy of its own is reported on by its name; it counts for the domain of the configuration.
    """
    domain = ownership.domain_above(report.published.domain)
    if not domain:
        raise RejectedError(
            Reason.FOREIGN_DOMAIN,
            f"about {quoted(report.published.domain)}: not a domain of the configuration; if it is yours, list it "
            "under `domains:`",
        )
    return Attribution((domain,))


def attribution_of(_report: DmarcReport, stored: Rows) -> Attribution:
    """What was found when the report came."""
    return Attribution(stored.report.policy_domains)
