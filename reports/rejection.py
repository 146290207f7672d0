"""Why bytes did not become a report: a bounded reason for metrics, a sentence to read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from reports.table import Milliseconds, UInt64

if TYPE_CHECKING:
    from reports.envelope import Envelope


class Reason(StrEnum):
    """Bounded, so that it can be a metric label."""

    UNREADABLE = "unreadable"  # a file that cannot be opened, or is none
    EMPTY = "empty"
    NO_REPORT = "no-report"  # can be read, but holds no report
    POSTMASTER = "postmaster"  # holds no report, and is for the postmaster: a person is to read it
    FAILURE_REPORT = "failure-report"  # about a single mail, by DMARC or from a feedback loop: personal data
    OTHER_DOCUMENT = "other-document"  # in the form of a report, JSON or XML, but of something else
    NOT_JSON = "not-json"
    NOT_XML = "not-xml"  # XML that is not well-formed, or has a DOCTYPE
    BAD_ENCODING = "bad-encoding"
    BAD_COMPRESSION = "bad-compression"  # truncated or damaged gzip or zip
    TOO_LARGE = "too-large"  # bytes in, bytes out or compression ratio
    TOO_NESTED = "too-nested"  # archives in archives, JSON or MIME nesting
    TOO_MANY = "too-many"  # members, policies or failure details
    INVALID_FIELD = "invalid-field"  # a field that the report cannot do without is missing or unusable
    FOREIGN_DOMAIN = "foreign-domain"  # about domains that are not ours (RFC 8460 has no authorisation record)
    TOO_OLD = "too-old"  # about a day that the retention does not keep: the row would be gone at once
    INTERNAL = "internal"  # our own fault; the bytes are kept for a later version


class QuarantineReason(StrEnum):
    """Why a report is quarantined; bounded as well."""

    NO_SIGNATURE = "no-signature"
    INVALID = "invalid"  # no DKIM signature holds
    DNS_FAILURE = "dns-failure"  # the signer's key stayed unknown for days
    NO_ROOM = "no-room-to-wait"  # could not be judged yet, and deferred mail has used up its room (spool.deferred_size)
    EARLY = "early"  # signed in the future, for days: a clock is wrong
    NOT_ALIGNED = "not-aligned"  # signed, but not by the organization that the mail says it is from
    UNCLEAR = "unclear"  # signed, but what was signed can be read in several ways, or does not say that it is a report
    NOT_BY_MAIL = "not-by-mail"  # posted, where such reports come by mail only: a post shows nothing of who sent it
    NO_TOKEN = "no-token"  # noqa: S105  posted about another domain than the secret path's


@dataclass(frozen=True, slots=True)
class Fault:
    """Why bytes are no report that can be used, as a value to keep."""

    reason: Reason
    detail: str  # names what is wrong in words that a person understands


class RejectedError(Exception):
    """Bytes are no report that can be used.

    Only for raising: a raised exception holds its frames, and they hold the message. What is kept is its `fault`.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.fault = Fault(reason, detail)
        self.beside: tuple[Fault, ...] = ()  # of other documents in the same bytes

    @classmethod
    def of(cls, fault: Fault, *beside: Fault) -> RejectedError:
        """To raise faults that are known already."""
        error = cls(fault.reason, fault.detail)
        error.beside = beside
        return error


class RejectionRow(NamedTuple):
    """A row of the table `rejections`, columns in order."""

    received_at: Milliseconds
    held_id: str
    source: str
    name: str
    peer: str
    size: UInt64
    reason: str
    detail: str
    messages: UInt64 = 1  # that the row stands for

    @classmethod
    def of(cls, envelope: Envelope, fault: Fault, *, size: int, held_id: str) -> RejectionRow:
        """The row for bytes that were rejected and are kept under `held_id`."""
        return cls(
            received_at=envelope.received_at,
            held_id=held_id,
            source=envelope.source.value,
            name=envelope.name,
            peer=envelope.peer,
            size=size,
            reason=fault.reason.value,
            detail=fault.detail,
        )
