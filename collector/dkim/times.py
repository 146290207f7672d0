"""When a signature counts (RFC 6376, section 3.5: t= and x=).

What decides is when the mail was accepted, by us or by the mailbox that it lay in, never when it is read: Google's
signatures end after seven days, and a mailbox or a queue may be read later than that.

Our own clock may have been wrong when the mail was accepted. An arrival that is yet to come, or that lies before the
signature was made, did not happen then. So an arrival is moved to the latest moment that is certain: now in the first
case, t= in the second. A signature that is of the future by both clocks is not bad but early: either clock is wrong.
"""

from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from collector.dkim.signature import Signature

CLOCK_SLOP = timedelta(hours=10)  # that a signer's clock may be off


class Timeliness(Enum):
    """Whether a signature counts, as far as time is concerned."""

    IN_TIME = auto()
    EXPIRED = auto()
    EARLY = auto()


def arrival(accepted_at: datetime, *, now: datetime) -> datetime:
    """When a mail came, as far as our clock can be trusted."""
    return now if accepted_at > now + CLOCK_SLOP else accepted_at


def arrival_after(signature: Signature, arrived_at: datetime, *, now: datetime) -> datetime:
    """The same for a mail that has this signature: it did not come before it was signed, nor is it yet to come.

    A signer may write some hours of the future into t=, but makes no other day of arrival by it.
    """
    signed_at = made_at(signature)
    return arrived_at if signed_at is None or signed_at <= arrived_at + CLOCK_SLOP else min(signed_at, now)


def made_at(signature: Signature) -> datetime | None:
    """The moment that t= names."""
    return None if signature.signed_at is None else _moment(signature.signed_at)


def timeliness(signature: Signature, *, arrived_at: datetime, now: datetime) -> Timeliness:
    """Judge t= and x= of a signature."""
    signed_at = made_at(signature)
    if signed_at is not None and signed_at > now + CLOCK_SLOP:
        return Timeliness.EARLY
    came = arrival_after(signature, arrived_at, now=now)
    if signature.expires is not None and _moment(signature.expires) < came - CLOCK_SLOP:
        return Timeliness.EXPIRED
    return Timeliness.IN_TIME


def _moment(seconds: int) -> datetime:
    """Years beyond those that Python knows count as the last of them."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return _LAST


_LAST = datetime(9999, 1, 1, tzinfo=UTC)
