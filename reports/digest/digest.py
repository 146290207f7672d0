"""What a digest says, before it is text, HTML or a mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from reports.causes import Severity
    from reports.digest.week import Week
    from reports.dmarc.summary import DmarcSummary
    from reports.tls.summary import DomainSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A cause that needs attention at a domain, with all servers, senders, sources or records that it is about."""

    policy_domain: str
    kind: str  # tls, dmarc or outside, as in the view attention
    cause: str
    severity: Severity
    title: str
    subjects: tuple[str, ...]
    since: date | None
    affected: int  # what the kind counts
    of: int  # of how many; 0 where that means nothing
    detail: str
    action: str
    acknowledged_until: date | None = None
    acknowledged_because: str = ""


class Turned(NamedTuple):
    """A mode or a policy that is another one than a week before, as reporters see it."""

    policy_domain: str
    what: str  # MTA-STS mode, DMARC policy, DMARC policy of NAME
    before: str
    after: str


class RecordChange(NamedTuple):
    """A DNS record that our probes saw change: from what it said when the week began to what it says at its end."""

    policy_domain: str
    record: str
    subject: str  # the name of a DKIM key; empty of other records
    day: date  # of its last change
    before: str  # empty: there was none; several records by lines
    after: str


class DueCertificate(NamedTuple):
    """A certificate of a server that comes within the threshold of its domain before the next digest."""

    policy_domain: str
    server: str
    expires: date


class Ready(NamedTuple):
    """A domain for which a stricter policy is safe, and was not a week before."""

    policy_domain: str
    step: str  # MTA-STS mode enforce, DMARC policy quarantine, DMARC policy reject


class Passing(NamedTuple):
    """Days that were as bad as an alert, of a domain that needed attention neither before nor after."""

    policy_domain: str
    kind: str  # tls or dmarc
    days: tuple[date, ...]


class Day(NamedTuple):
    """A day of a domain that somebody reported about."""

    share: float  # that succeeded, 0 to 1
    bad: bool  # more failed than the thresholds of the domain tolerate


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is otherwise than at the end of the week before."""

    new: tuple[Problem, ...] = ()
    ended: tuple[Problem, ...] = ()
    passing: tuple[Passing, ...] = ()
    turned: tuple[Turned, ...] = ()
    records: tuple[RecordChange, ...] = ()
    certificates: tuple[DueCertificate, ...] = ()
    ready: tuple[Ready, ...] = ()

    def __bool__(self) -> bool:
        return any((self.new, self.ended, self.passing, self.turned, self.records, self.certificates, self.ready))


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainWeek:
    """A domain's week: what the summaries say, and its days."""

    policy_domain: str
    tls: DomainSummary
    dmarc: DmarcSummary | None
    tls_days: tuple[Day | None, ...]  # sessions with TLS by day, oldest first; None: nobody reported
    own_mail_days: tuple[Day | None, ...]  # own mail that passes DMARC

    @property
    def forgeries_blocked(self) -> int | None:
        """Messages that nothing shows to be ours, quarantined or rejected; None without reports."""
        return None if self.dmarc is None else self.dmarc.unknown_messages - self.dmarc.unknown_delivered


class Reporter(NamedTuple):
    """An organization that reports."""

    name: str  # its caption
    amount: int  # sessions, or messages, that it reported in the week
    last_day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporters:
    """Who reported of one kind, and who used to and did not."""

    active: tuple[Reporter, ...]  # the largest first
    stopped: tuple[Reporter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over all domains."""

    sessions: int
    sessions_with_tls: int
    own_messages: int
    passed_messages: int
    forgeries_blocked: int
    forgeries_delivered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Everything, in the order in which it is read."""

    week: Week
    scope: str  # empty for all domains; else the team or the domain that it is about
    verdict: str
    problems: tuple[Problem, ...]  # of severity critical and warning, the worst first
    notes: tuple[Problem, ...]  # of severity info
    acknowledged: tuple[Problem, ...]
    changes: Changes
    totals: Totals
    domains: tuple[DomainWeek, ...]  # the worst first
    tls_reporters: Reporters
    dmarc_reporters: Reporters

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to say but that all is well."""
        missed = (self.tls_reporters.stopped or self.dmarc_reporters.stopped) and not self.parked
        return self.known and not (self.problems or self.changes or missed)

    @property
    def parked(self) -> bool:
        """Whether none of its domains takes or sends mail."""
        return all_parked(self.domains)

    @property
    def known(self) -> bool:
        """Whether anything can be said of the week."""
        return is_known(self.domains, self.totals)


def all_parked(domains: Sequence[DomainWeek]) -> bool:
    """Whether none takes or sends mail."""
    return bool(domains) and all(each.tls.parked for each in domains)


def is_known(domains: Sequence[DomainWeek], totals: Totals) -> bool:
    """Whether reports say how the domains are, or need not: none are expected about parked ones."""
    return totals.sessions > 0 or totals.own_messages > 0 or all_parked(domains)
