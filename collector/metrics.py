"""The collector's own metrics, of two processes: prometheus_client's multiprocess mode adds them up.

Multiprocess mode needs PROMETHEUS_MULTIPROC_DIR before prometheus_client is imported: cli/collector.py sets it.
Labels are bounded: sources, outcomes and reasons are enums, never text from a report.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from collector.spool import HeldState
from reports.envelope import Source, Trust
from reports.kinds import KINDS
from reports.rejection import QuarantineReason, Reason
from reports.reloading import READ_AT, USABLE

RECEIVED = Counter("mailposture_received", "Messages and posts made durable in the spool, by source", ["source"])
REFUSED = Counter(
    "mailposture_refused", "Clients refused before anything was accepted, by source and reason", ["source", "reason"]
)
LEFT = Counter(
    "mailposture_left_in_mailbox",
    "Mails that stay in their mailbox, by source and reason (no-report, too-large, unreadable)",
    ["source", "reason"],
)
CONNECTIONS = Counter("mailposture_connections", "Connections opened by senders, by source", ["source"])
STORED = Counter("mailposture_reports_stored", "Reports written to ClickHouse, by kind and trust", ["kind", "trust"])
REJECTED = Counter("mailposture_rejected", "Messages that held no usable report, by reason", ["reason"])
QUARANTINED = Counter(
    "mailposture_quarantined",
    "Unauthenticated reports put into quarantine, by kind (unknown where it was not read) and reason",
    ["kind", "reason"],
)
PRUNED = Counter(
    "mailposture_pruned",
    "Held messages that were dropped, by state and reason: budget (spool.held_size) or age (spool.held_for)",
    ["state", "reason"],
)
DEFERRED = Counter("mailposture_deferred", "Messages deferred and tried again later, by reason", ["reason"])
BATCHES = Counter("mailposture_insert_batches", "Batches written to ClickHouse, by outcome", ["outcome"])
QUERYABLE = Histogram(
    "mailposture_queryable_seconds",
    "Time from acceptance of a report to its rows being queryable",
    buckets=(0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60, 300, 3600, 86400),
)
# The most recent: of a process, and of the one that was started in its place.
_CONFIG_USABLE = Gauge(*USABLE, ["service"], multiprocess_mode="mostrecent")
_CONFIG_READ = Gauge(*READ_AT, ["service"], multiprocess_mode="mostrecent")


def note_configuration(service: str, *, usable: bool, read_at: float) -> None:
    """Show how reading the configuration went in one of the processes."""
    _CONFIG_USABLE.labels(service).set(float(usable))
    _CONFIG_READ.labels(service).set(read_at)


def _begin_at_zero() -> None:
    """Show every series from the start: a counter that first appears with 1 has no increase that an alert could see."""
    for source in Source:
        RECEIVED.labels(source.value)
    for trust in Trust:
        for kind in KINDS:
            STORED.labels(kind.name, trust.value)
    for reason in Reason:
        REJECTED.labels(reason.value)
    for why in QuarantineReason:
        for kind in KINDS:
            QUARANTINED.labels(kind.name, why.value)
    for outcome in ("stored", "failed", "refused"):
        BATCHES.labels(outcome)
    DEFERRED.labels("dns")
    for state in HeldState:
        for cause in ("budget", "age"):
            PRUNED.labels(state.value, cause)


def _begin_mailboxes_at_zero() -> None:
    for mailbox in filter(lambda source: source.is_mailbox, Source):
        for why in ("no-report", "too-large", "unreadable"):
            LEFT.labels(mailbox.value, why)


_begin_at_zero()
_begin_mailboxes_at_zero()
