"""What the exporter asks ClickHouse, and which gauges the answers fill.

Reports cover a day and come hours to weeks later, so a question looks at report days, never at arrival:

- `period`: all complete report days of the configured window (metrics.window, seven days).
- `latest`: each reporting organization's newest report day among the last three. One sender's report of yesterday comes
  at two in the morning and the next one's at noon; taking every sender at its own last word, failures show as soon as
  the first report tells of them and end when the last sender has seen clean sessions, whatever order reports come in.
  Some senders report failures only, and their silence is good news: so a word older than three days counts no more.

Only authenticated reports count: anybody can mail a forged one, and these numbers page people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from exporter.exposition import Gauge

_LATEST_DAYS = 3  # how long a sender's last word counts; see above
_KNOWN_DAYS = 28  # a receiving server that failed within as many days before is not newly failing
_REMEMBERED_DAYS = 35  # how far back the last report of a domain is looked for


def days(*, today: date, window: timedelta) -> dict[str, date]:
    """The days that the questions name; all spans but the last report day's end before today, which is not complete."""
    latest_start = today - timedelta(days=_LATEST_DAYS)
    return {
        "today": today,
        "period_start": today - window,
        "latest_start": latest_start,
        "known_start": latest_start - timedelta(days=_KNOWN_DAYS),
        "remembered_start": today - timedelta(days=_REMEMBERED_DAYS),
    }


SESSIONS = Gauge(
    name="tlsrpt_sessions",
    help="Sessions that senders reported, each counted once, by outcome (successful, failed); window latest: each "
    "sender's newest report day of the last three, period: all report days of the configured window",
    labels=("policy_domain", "window", "outcome"),
)
ORGANIZATIONS = Gauge(
    name="tlsrpt_reporting_organizations", help="Organizations that reported about a day of the configured window"
)
CATEGORIES = Gauge(
    name="tlsrpt_failure_sessions",
    help="Failed sessions by category, from failure details (whose sum may differ from tlsrpt_sessions), in each "
    "sender's newest report day of the last three; there is no series for what did not fail in the configured window",
    labels=("policy_domain", "category"),
)
RESULT_TYPES = Gauge(
    name="tlsrpt_failure_result_sessions",
    help="Failed sessions by result type (RFC 8460, section 4.3; others as other) and severity, otherwise like "
    "tlsrpt_failure_sessions",
    labels=("policy_domain", "result_type", "severity"),
)
REFUSED = Gauge(
    name="mta_sts_refused_sessions",
    help="Sessions that failed under an MTA-STS policy in mode enforce, that is mail not delivered, in each sender's "
    "newest report day of the last three",
)
DOWNGRADES = Gauge(
    name="tlsrpt_suspected_downgrade_sessions",
    help="Sessions of senders that lost the STARTTLS they had, by likelihood of an attacker in the path, in each "
    "sender's newest report day of the last three; there is no series for what was not suspected in the window",
    labels=("policy_domain", "likelihood"),
)
POLICY_DOWNGRADES = Gauge(
    name="mta_sts_suspected_downgrade_sessions",
    help="Sessions without our MTA-STS policy of senders that applied it in mode enforce before, otherwise like "
    "tlsrpt_suspected_downgrade_sessions",
    labels=("policy_domain", "likelihood"),
)
NEWLY_FAILING = Gauge(
    name="tlsrpt_newly_failing_receiving_servers",
    help="Receiving servers with at least the domain's minimum of failed sessions in the last three report days and "
    "none in the 28 days before",
)
LAST_DAY = Gauge(
    name="tlsrpt_last_report_day_timestamp_seconds",
    help="Start of the newest day that a report covers; no series when none of the last 35 days is covered",
)
LAST_ARRIVAL = Gauge(
    name="tlsrpt_last_arrival_timestamp_seconds",
    help="When the last report arrived; no series when none of the last 35 days is covered",
)
DELAY = Gauge(
    name="tlsrpt_report_delay_seconds",
    help="Median time from the end of a report's period to its arrival, over the configured window; imported files do "
    "not count, and no series when nothing else came",
)
READY = Gauge(
    name="mta_sts_ready_to_enforce",
    help="1 if the last 30 report days and our last probes speak for MTA-STS mode enforce, else 0; no series without "
    "sessions",
)
WOULD_BE_REFUSED = Gauge(
    name="mta_sts_would_be_refused_sessions",
    help="Sessions of the last 30 report days that mode enforce would have refused",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A value column of an answer: the gauge it fills, and the values of its last labels, the same in each row."""

    gauge: Gauge
    fixed: tuple[str, ...] = ()
    otherwise: float | None = None  # for a configured domain that the answer does not name; None: no sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query whose rows are: policy domain, the label columns, then one number (or NULL: no sample) a value column."""

    sql: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...] = ()


_SESSIONS_AND_SENDERS = Question(
    sql="""
        SELECT policy_domain, sum(newest.1), sum(newest.2), sum(successful), sum(failed), countIf(reported)
        FROM (
            SELECT
                policy_domain,
                organization,
                argMaxIf((successful_sessions, failed_sessions), day, day >= {latest_start:Date}) AS newest,
                sumIf(successful_sessions, day >= {period_start:Date}) AS successful,
                sumIf(failed_sessions, day >= {period_start:Date}) AS failed,
                max(day) >= {period_start:Date} AS reported
            FROM tls_authenticated_sender_daily
            WHERE day >= least({period_start:Date}, {latest_start:Date}) AND day < {today:Date}
            GROUP BY policy_domain, organization
        )
        GROUP BY policy_domain
    """,
    columns=(
        Column(gauge=SESSIONS, fixed=("latest", "successful"), otherwise=0),
        Column(gauge=SESSIONS, fixed=("latest", "failed"), otherwise=0),
        Column(gauge=SESSIONS, fixed=("period", "successful"), otherwise=0),
        Column(gauge=SESSIONS, fixed=("period", "failed"), otherwise=0),
        Column(gauge=ORGANIZATIONS, otherwise=0),
    ),
)

# Each sender's newest report day among the latest ones: what it says now, whatever came in before or after it.
_LAST_WORDS = """
        WITH last_words AS (
            SELECT policy_domain, organization, max(day) AS last_day
            FROM tls_authenticated_sender_daily
            WHERE day >= {latest_start:Date} AND day < {today:Date}
            GROUP BY policy_domain, organization
        )
"""

_CATEGORIES = Question(
    sql=_LAST_WORDS
    + """
        SELECT policy_domain, category, sumIf(failed_sessions, day = last_day)
        FROM tls_authenticated_failures_daily
        LEFT JOIN last_words USING (policy_domain, organization)
        WHERE day >= least({period_start:Date}, {latest_start:Date}) AND day < {today:Date}
        GROUP BY policy_domain, category
    """,
    labels=("category",),
    columns=(Column(gauge=CATEGORIES),),
)

_RESULT_TYPES = Question(
    sql=_LAST_WORDS
    + """
        SELECT policy_domain, result_type, severity, sumIf(failed_sessions, day = last_day)
        FROM tls_authenticated_failures_daily
        LEFT JOIN last_words USING (policy_domain, organization)
        WHERE day >= least({period_start:Date}, {latest_start:Date}) AND day < {today:Date}
        GROUP BY policy_domain, result_type, severity
    """,
    labels=("result_type", "severity"),
    columns=(Column(gauge=RESULT_TYPES),),
)

# From the summaries of sts policies, whether or not they `count`: DANE in the same report changes nothing here. A
# policy that cannot be fetched or read is not applied (RFC 8461, section 5), so such failures refuse nothing.
_REFUSED_SESSIONS = Question(
    sql=_LAST_WORDS
    + """
        SELECT policy_domain, greatest(sum(sessions), 0)
        FROM (
            SELECT day, policy_domain, organization, toInt64(failed_sessions) AS sessions
            FROM tls_authenticated_policies_daily
            WHERE day >= {latest_start:Date} AND day < {today:Date} AND policy_type = 'sts' AND sts_mode = 'enforce'
            UNION ALL
            SELECT day, policy_domain, organization, -toInt64(failed_sessions)
            FROM tls_authenticated_failures_daily
            WHERE day >= {latest_start:Date} AND day < {today:Date} AND sts_mode = 'enforce'
                AND result_type IN ('sts-policy-fetch-error', 'sts-policy-invalid', 'sts-webpki-invalid')
        ) AS enforced
        INNER JOIN last_words USING (policy_domain, organization)
        WHERE day = last_day
        GROUP BY policy_domain
    """,
    columns=(Column(gauge=REFUSED, otherwise=0),),
)


def _suspected(view: str, sessions: str, gauge: Gauge) -> Question:
    """What is suspected of an attacker; where the evidence points at ourselves, other gauges tell.

    What was likely of a sender one of the latest days stays so while it is suspected: its report of yesterday may come
    hours before those of the senders to compare it with, and an alert must not end and begin again for that.
    """
    return Question(
        sql=_LAST_WORDS
        + f"""
        SELECT policy_domain, strongest, sumIf(sessions, is_last)
        FROM (
            SELECT
                policy_domain, {sessions} AS sessions, day = last_day AS is_last,
                max(likelihood = 'likely' AND day >= {{latest_start:Date}})
                    OVER (PARTITION BY policy_domain, organization) AS likely_lately,
                if(is_last AND likely_lately, 'likely', likelihood) AS strongest
            FROM {view}
            LEFT JOIN last_words USING (policy_domain, organization)
            WHERE day >= least({{period_start:Date}}, {{latest_start:Date}}) AND day < {{today:Date}}
                AND likelihood IN ('likely', 'possible')
        )
        GROUP BY policy_domain, strongest
    """,
        labels=("likelihood",),
        columns=(Column(gauge=gauge),),
    )


_SUSPECTED_DOWNGRADES = _suspected("tls_suspected_downgrades", "failed_sessions", DOWNGRADES)
_SUSPECTED_POLICY_DOWNGRADES = _suspected("mta_sts_suspected_downgrades", "sessions", POLICY_DOWNGRADES)

# A domain that nobody reported about before has no past to compare with, so its servers are not new.
_NEWLY_FAILING_SERVERS = Question(
    sql="""
        SELECT policy_domain, countIf(recently >= minimum_sessions)
        FROM (
            SELECT policy_domain, receiving_mx, sumIf(failed_sessions, day >= {latest_start:Date}) AS recently
            FROM tls_authenticated_failures_daily
            WHERE day >= {known_start:Date} AND day < {today:Date} AND receiving_mx != ''
            GROUP BY policy_domain, receiving_mx
            HAVING recently > 0 AND recently = sum(failed_sessions)
        ) AS new_failures
        INNER JOIN domains USING (policy_domain)
        WHERE policy_domain IN (
            SELECT policy_domain
            FROM tls_authenticated_domain_daily
            WHERE day >= {known_start:Date} AND day < {latest_start:Date}
        )
        GROUP BY policy_domain
    """,
    columns=(Column(gauge=NEWLY_FAILING, otherwise=0),),
)

# Files are imported whenever somebody likes: their delay says nothing about the way that reports take.
_LAST_REPORTS = Question(
    sql="""
        WITH day >= {period_start:Date} AND source != 'file' AS timely
        SELECT
            policy_domain,
            toUnixTimestamp(toDateTime(max(day), 'UTC')),
            toUnixTimestamp(max(received_at)),
            if(countIf(timely) > 0, medianIf(delay_hours, timely) * 3600, NULL)
        FROM tls_report_log
        ARRAY JOIN policy_domains AS policy_domain
        WHERE day >= {remembered_start:Date} AND day <= {today:Date} AND trust != 'none'
        GROUP BY policy_domain
    """,
    columns=(Column(gauge=LAST_DAY), Column(gauge=LAST_ARRIVAL), Column(gauge=DELAY)),
)

_READINESS = Question(
    sql="SELECT policy_domain, verdict = 'ready', would_be_refused FROM mta_sts_readiness WHERE sessions > 0",
    columns=(Column(gauge=READY), Column(gauge=WOULD_BE_REFUSED)),
)

QUESTIONS = (
    _SESSIONS_AND_SENDERS,
    _CATEGORIES,
    _RESULT_TYPES,
    _REFUSED_SESSIONS,
    _SUSPECTED_DOWNGRADES,
    _SUSPECTED_POLICY_DOWNGRADES,
    _NEWLY_FAILING_SERVERS,
    _LAST_REPORTS,
    _READINESS,
)
