"""What the exporter asks ClickHouse, and which gauges the answers fill.

What needs attention is decided in SQL, by the view `attention`, which dashboards and `mailposture summary` ask too. It
becomes one gauge, and the alert rules about domains compare nothing but that. The others say what was observed.

Reports cover a day and come hours to weeks later, so everything looks at report days, never at arrival: at each
reporter's newest report day among the last three (the view tls_last_words). These numbers page people, and anybody
can sign reports with a domain of their own: so only reporters that count in alerts are in them (view tls_reporters).
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.exposition import Gauge
from reports.causes import FROM_PROBES, About

_OF_ATTENTION = ("policy_domain", "kind", "cause", "severity", "mx", "record")

ATTENTION = Gauge(
    name="mailposture_attention",
    help="How many servers or senders of the domain need attention for a cause (1 where it is about the whole "
    "domain), without acknowledged ones; no series while there is none. kind: tls and dmarc (reports), outside (our "
    "own probes, whose server is the label mx, and DNS record the label record)",
    labels=_OF_ATTENTION,
)
ACKNOWLEDGED = Gauge(
    name="mailposture_attention_acknowledged",
    help="The same of those that somebody has acknowledged: they alert nobody",
    labels=_OF_ATTENTION,
)
SESSIONS = Gauge(
    name="tlsrpt_sessions",
    help="Sessions that senders reported, each counted once, by outcome (successful, failed), in each sender's newest "
    "report day of the last three; of a domain with little mail, of more days",
    labels=("policy_domain", "outcome"),
)
REPORTERS = Gauge(
    name="tlsrpt_reporters",
    help="Reporters that reported about the domain in the last 35 days, by standing (established, known, newcomer, "
    "by-hand, post), and whether their reports count in alerts (yes, no)",
    labels=("policy_domain", "standing", "counts"),
)
LAST_DAY = Gauge(
    name="tlsrpt_last_report_day_timestamp_seconds",
    help="Start of the newest day that a report covers; no series when none of the last 35 days is covered",
)
LAST_ARRIVAL = Gauge(
    name="tlsrpt_last_arrival_timestamp_seconds",
    help="When the last report arrived; no series when none arrived in the last 35 days",
)
DMARC_MESSAGES = Gauge(
    name="dmarc_messages",
    help="Messages in the domain's name of the last three report days, by whose they are (pile: aligned, ours-failing, "
    "forwarded, unknown) and what receivers did with them (outcome: delivered, quarantined, rejected), of reporters "
    "that count in alerts",
    labels=("policy_domain", "pile", "outcome"),
)
DMARC_REPORTERS = Gauge(
    name="dmarc_reporters",
    help="Reporters that sent DMARC reports about the domain in the last 35 days, by standing (established, known, "
    "newcomer, by-hand, unproven), and whether their reports count in alerts (yes, no)",
    labels=("policy_domain", "standing", "counts"),
)
DMARC_LAST_DAY = Gauge(
    name="dmarc_last_report_day_timestamp_seconds",
    help="Start of the newest day that a DMARC report covers, of reporters that count in alerts; no series when none "
    "of the last 35 days is covered",
)
DMARC_WAITING = Gauge(
    name="mailposture_dmarc_sources_waiting_since_timestamp_seconds",
    help="Since when records of a stored DMARC report wait to be sorted into piles, the oldest of all domains; no "
    "series while none waits",
    labels=(),
)
MISSED_REPORTS = Gauge(
    name="mailposture_missed_reports_seconds",
    help="Time since the end of the last day that anybody reported about, over all domains and kinds of reports, in "
    "which a day counts by how usual reports about that weekday are; no series when none of the last 35 days is "
    "covered",
    labels=(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A value column of an answer: the gauge it fills, and the values of its last labels, the same in each row."""

    gauge: Gauge
    fixed: tuple[str, ...] = ()
    otherwise: float | None = None  # for a configured domain that the answer does not name; None: no sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query whose rows are the label columns, the policy domain first, and a number (NULL: no sample) per gauge."""

    sql: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...] = ("policy_domain",)


_OF_RECORDS = ", ".join(f"'{cause.term}'" for cause in FROM_PROBES if cause.about is About.RECORD)

_ATTENTION = Question(
    sql=f"""
        SELECT policy_domain, kind, cause, severity,
            if(kind = 'outside' AND cause NOT IN ({_OF_RECORDS}), subject, '') AS mx,
            if(kind = 'outside' AND cause IN ({_OF_RECORDS}), subject, '') AS record,
            nullIf(countIf(NOT acknowledged), 0), nullIf(countIf(acknowledged), 0)
        FROM attention
        GROUP BY policy_domain, kind, cause, severity, mx, record
    """,
    labels=_OF_ATTENTION,
    columns=(Column(gauge=ATTENTION), Column(gauge=ACKNOWLEDGED)),
)
_SESSIONS = Question(
    sql="""
        SELECT policy_domain, round(sum(counted_successful)), round(sum(counted_failed))
        FROM tls_last_words
        GROUP BY policy_domain
    """,
    columns=(
        Column(gauge=SESSIONS, fixed=("successful",), otherwise=0),
        Column(gauge=SESSIONS, fixed=("failed",), otherwise=0),
    ),
)
_REPORTERS = Question(
    sql="""
        SELECT policy_domain, standing, uniqExactIf(reporter, counts), uniqExactIf(reporter, NOT counts)
        FROM tls_reporters
        GROUP BY policy_domain, standing
    """,
    labels=("policy_domain", "standing"),
    columns=(Column(gauge=REPORTERS, fixed=("yes",)), Column(gauge=REPORTERS, fixed=("no",))),
)
_LAST_REPORTS = Question(
    sql="""
        SELECT policy_domain, toUnixTimestamp(toDateTime(last_report_day, 'UTC')), toUnixTimestamp(last_received_at)
        FROM tls_freshness
    """,
    columns=(Column(gauge=LAST_DAY), Column(gauge=LAST_ARRIVAL)),
)
_SILENCE = Question(
    sql="SELECT missed_days * 86400 FROM report_rhythm",
    labels=(),
    columns=(Column(gauge=MISSED_REPORTS),),
)
_DMARC_MESSAGES = Question(
    sql="""
        WITH (SELECT today FROM clock) AS until
        SELECT policy_domain, pile,
            sumIf(counted_messages, delivered_messages > 0), sumIf(counted_messages, quarantined_messages > 0),
            sumIf(counted_messages, rejected_messages > 0)
        FROM dmarc_sources_daily
        WHERE day >= until - 3 AND day < until
        GROUP BY policy_domain, pile
    """,
    labels=("policy_domain", "pile"),
    columns=(
        Column(gauge=DMARC_MESSAGES, fixed=("delivered",)),
        Column(gauge=DMARC_MESSAGES, fixed=("quarantined",)),
        Column(gauge=DMARC_MESSAGES, fixed=("rejected",)),
    ),
)
_DMARC_REPORTERS = Question(
    sql="""
        SELECT policy_domain, standing, uniqExactIf(reporter, counts), uniqExactIf(reporter, NOT counts)
        FROM dmarc_reporters
        GROUP BY policy_domain, standing
    """,
    labels=("policy_domain", "standing"),
    columns=(Column(gauge=DMARC_REPORTERS, fixed=("yes",)), Column(gauge=DMARC_REPORTERS, fixed=("no",))),
)
_DMARC_LAST_DAY = Question(
    sql="""
        SELECT policy_domain, toUnixTimestamp(toDateTime(last_report_day, 'UTC'))
        FROM dmarc_freshness
    """,
    columns=(Column(gauge=DMARC_LAST_DAY),),
)
_DMARC_WAITING = Question(
    sql="""
        SELECT toUnixTimestamp(assumeNotNull(min(waiting_since)))
        FROM dmarc_sources_kept
        WHERE waiting_since IS NOT NULL
        HAVING count() > 0
    """,
    labels=(),
    columns=(Column(gauge=DMARC_WAITING),),
)

QUESTIONS = (
    _ATTENTION,
    _SESSIONS,
    _REPORTERS,
    _LAST_REPORTS,
    _SILENCE,
    _DMARC_MESSAGES,
    _DMARC_REPORTERS,
    _DMARC_LAST_DAY,
    _DMARC_WAITING,
)
