"""What the exporter asks ClickHouse, and which gauges the answers fill.

Reports cover a day and come hours to weeks later, so a question looks at report days, never at arrival:

- `period`: all complete report days of the configured window (metrics.window, seven days).
- `latest`: each reporter's newest report day among the last three. One sender's report of yesterday comes at two in the
  morning and the next one's at noon; taking every sender at its own last word, failures show as soon as the first
  report has them and end when the last sender has seen clean sessions, whatever order reports come in.
  Some senders report failures only, and their silence is good news: so a word older than three days counts no more.

These numbers page people, and anybody can sign reports with a domain of his own. So the view tls_reporters decides
whose word counts about each domain: each question joins it. A reporter is a domain and the trust that its
reports have: one that is proven and one of the same name that is not have a last word each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from exporter.exposition import Gauge
from reports.envelope import Source

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
REPORTERS = Gauge(
    name="tlsrpt_reporters",
    help="Reporters that reported about the domain in the last 35 days, by standing (established, known, newcomer, "
    "by-hand, post), and whether their reports count in alerts (yes, no)",
    labels=("policy_domain", "standing", "counts"),
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


def _counted(number: str) -> str:
    """What the reporters of a domain say, added up, where the rows are one of each reporter whose word counts.

    Newcomers count where nobody is known, and none of them for more than the second largest: one alone for nothing.
    """
    of_newcomers = f"groupArrayIf({number}, standing = 'newcomer')"
    second = f"arrayReverseSort({of_newcomers})[2]"
    return f"sumIf({number}, standing != 'newcomer') + arraySum(each -> least(each, {second}), {of_newcomers})"


# Where newcomers count, and two of them or an import see an outage (failures above the domain's threshold), newcomers
# who see none do not count: a made-up "all is well" is cheap and must not outweigh them. And of the newcomers who see
# one, none weighs more than the second largest.
_SESSIONS = Question(
    sql=f"""
        SELECT
            policy_domain,
            round(sum(now.1 * weight)), round({_counted("now.2 * weight")}),
            round(sum(period_successful * weight)), round({_counted("period_failed * weight")})
        FROM (
            SELECT
                policy_domain, standing, now, period_successful, period_failed,
                standing = 'newcomer' AS is_new, now.2 > failure_ratio_threshold * (now.1 + now.2) AS alarmed,
                arrayReverseSort(groupArrayIf(now.2, is_new AND alarmed) OVER of_domain)[2] AS second,
                second > 0 OR max(alarmed AND NOT is_new) OVER of_domain AS is_outage,
                multiIf(NOT is_new OR NOT is_outage, 1, alarmed, least(1, second / now.2), 0) AS weight
            FROM (
                SELECT
                    policy_domain, reporter, trust,
                    argMaxIf((successful, failed), day, day >= {{latest_start:Date}}) AS now,
                    sumIf(successful, day >= {{period_start:Date}}) AS period_successful,
                    sumIf(failed, day >= {{period_start:Date}}) AS period_failed
                FROM (
                    SELECT
                        day, policy_domain, reporter, trust,
                        sum(successful_sessions) AS successful, sum(failed_sessions) AS failed
                    FROM tls_sender_daily
                    WHERE day >= least({{period_start:Date}}, {{latest_start:Date}}) AND day < {{today:Date}}
                    GROUP BY day, policy_domain, reporter, trust
                )
                GROUP BY policy_domain, reporter, trust
            ) AS reported
            INNER JOIN tls_reporters USING (policy_domain, reporter, trust)
            INNER JOIN domains USING (policy_domain)
            WHERE counts
            WINDOW of_domain AS (PARTITION BY policy_domain)
        )
        GROUP BY policy_domain
    """,
    columns=(
        Column(gauge=SESSIONS, fixed=("latest", "successful"), otherwise=0),
        Column(gauge=SESSIONS, fixed=("latest", "failed"), otherwise=0),
        Column(gauge=SESSIONS, fixed=("period", "successful"), otherwise=0),
        Column(gauge=SESSIONS, fixed=("period", "failed"), otherwise=0),
    ),
)

_REPORTERS = Question(
    sql="""
        SELECT policy_domain, standing, countIf(counts), countIf(NOT counts)
        FROM tls_reporters
        GROUP BY policy_domain, standing
    """,
    labels=("standing",),
    columns=(Column(gauge=REPORTERS, fixed=("yes",)), Column(gauge=REPORTERS, fixed=("no",))),
)

# Of everybody whose word counts, the newest report day among the latest ones: what it says now, whatever came in before
# or after it.
_LAST_WORDS = """
        WITH last_words AS (
            SELECT policy_domain, reporter, trust, standing, last_day
            FROM tls_reporters
            LEFT JOIN (
                SELECT policy_domain, reporter, trust, max(day) AS last_day
                FROM tls_sender_daily
                WHERE day >= {latest_start:Date} AND day < {today:Date}
                GROUP BY policy_domain, reporter, trust
            ) AS newest USING (policy_domain, reporter, trust)
            WHERE counts
        )
"""


def _failures_by(*labels: str) -> str:
    """Failed sessions by some columns of a failure detail, in everybody's last word."""
    columns = ", ".join(labels)
    return f"""{_LAST_WORDS}
        SELECT policy_domain, {columns}, {_counted("failed")}
        FROM (
            SELECT policy_domain, reporter, trust, standing, {columns}, sumIf(failed_sessions, day = last_day) AS failed
            FROM tls_failure_details
            INNER JOIN last_words USING (policy_domain, reporter, trust)
            WHERE day >= least({{period_start:Date}}, {{latest_start:Date}}) AND day < {{today:Date}}
                AND tls_failure_details.counts
            GROUP BY policy_domain, reporter, trust, standing, {columns}
        )
        GROUP BY policy_domain, {columns}
    """


_CATEGORIES = Question(sql=_failures_by("category"), labels=("category",), columns=(Column(gauge=CATEGORIES),))

_RESULT_TYPES = Question(
    sql=_failures_by("result_type", "severity"),
    labels=("result_type", "severity"),
    columns=(Column(gauge=RESULT_TYPES),),
)

# From the summaries of sts policies, whether or not they `count`: DANE in the same report changes nothing here. A
# policy that cannot be fetched or read is not applied (RFC 8461, section 5), so such failures refuse nothing.
_REFUSED_SESSIONS = Question(
    sql=f"""{_LAST_WORDS}
        SELECT policy_domain, {_counted("refused")}
        FROM (
            SELECT policy_domain, reporter, trust, standing, greatest(sum(sessions), 0) AS refused
            FROM (
                SELECT day, policy_domain, reporter, trust, toInt64(failed_sessions) AS sessions
                FROM tls_policies_daily
                WHERE day >= {{latest_start:Date}} AND day < {{today:Date}}
                    AND policy_type = 'sts' AND sts_mode = 'enforce'
                UNION ALL
                SELECT day, policy_domain, reporter, trust, -toInt64(failed_sessions)
                FROM tls_failure_details
                WHERE day >= {{latest_start:Date}} AND day < {{today:Date}} AND counts AND sts_mode = 'enforce'
                    AND result_type IN ('sts-policy-fetch-error', 'sts-policy-invalid', 'sts-webpki-invalid')
            ) AS enforced
            INNER JOIN last_words USING (policy_domain, reporter, trust)
            WHERE day = last_day
            GROUP BY policy_domain, reporter, trust, standing
        )
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
                    OVER (PARTITION BY policy_domain, reporter, trust) AS likely_lately,
                if(is_last AND likely_lately, 'likely', likelihood) AS strongest
            FROM {view}
            LEFT JOIN last_words USING (policy_domain, reporter, trust)
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
    sql=f"""
        SELECT policy_domain, countIf(recently >= minimum_sessions)
        FROM (
            SELECT policy_domain, receiving_mx, {_counted("recent")} AS recently
            FROM (
                SELECT
                    policy_domain, reporter, trust, standing, receiving_mx,
                    sumIf(failed_sessions, day >= {{latest_start:Date}}) AS recent,
                    sumIf(failed_sessions, day < {{latest_start:Date}}) AS before
                FROM tls_failure_details
                INNER JOIN (
                    SELECT policy_domain, reporter, trust, standing FROM tls_reporters WHERE counts
                ) AS counting USING (policy_domain, reporter, trust)
                WHERE day >= {{known_start:Date}} AND day < {{today:Date}} AND tls_failure_details.counts
                    AND receiving_mx != ''
                GROUP BY policy_domain, reporter, trust, standing, receiving_mx
            )
            GROUP BY policy_domain, receiving_mx
            HAVING recently > 0 AND sum(before) = 0
        ) AS new_failures
        INNER JOIN domains USING (policy_domain)
        WHERE policy_domain IN (
            SELECT policy_domain
            FROM tls_domain_daily
            WHERE day >= {{known_start:Date}} AND day < {{latest_start:Date}}
        )
        GROUP BY policy_domain
    """,
    columns=(Column(gauge=NEWLY_FAILING, otherwise=0),),
)

_COME_WHEN_SENT = ", ".join(f"'{source.value}'" for source in Source if source.comes_when_sent)
_LAST_REPORTS = Question(
    sql=f"""
        WITH day >= {{period_start:Date}} AND source IN ({_COME_WHEN_SENT}) AS timely
        SELECT
            policy_domain,
            toUnixTimestamp(toDateTime(max(day), 'UTC')),
            toUnixTimestamp(max(received_at)),
            if(countIf(timely) > 0, medianIf(delay_hours, timely) * 3600, NULL)
        FROM tls_report_log
        ARRAY JOIN policy_domains AS policy_domain
        WHERE day >= {{remembered_start:Date}} AND day <= {{today:Date}}
            AND (policy_domain, reporter, trust) IN (
                SELECT policy_domain, reporter, trust FROM tls_reporters WHERE counts
            )
        GROUP BY policy_domain
    """,
    columns=(Column(gauge=LAST_DAY), Column(gauge=LAST_ARRIVAL), Column(gauge=DELAY)),
)

_READINESS = Question(
    sql="SELECT policy_domain, verdict = 'ready', would_be_refused FROM mta_sts_readiness WHERE sessions > 0",
    columns=(Column(gauge=READY), Column(gauge=WOULD_BE_REFUSED)),
)

QUESTIONS = (
    _SESSIONS,
    _REPORTERS,
    _CATEGORIES,
    _RESULT_TYPES,
    _REFUSED_SESSIONS,
    _SUSPECTED_DOWNGRADES,
    _SUSPECTED_POLICY_DOWNGRADES,
    _NEWLY_FAILING_SERVERS,
    _LAST_REPORTS,
    _READINESS,
)
